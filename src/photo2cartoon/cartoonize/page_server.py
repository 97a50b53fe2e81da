"""Serves a page built with Gradio until the process is asked to end, and deletes what people uploaded."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from photo2cartoon.errors import UserError

if TYPE_CHECKING:
    import gradio


def serve(
    build: Callable[[], gradio.Blocks], host: str, port: int, ready: Callable[[str], None], **options: Any
) -> None:
    """Serve a page. It contacts no other machine.

    Args:
        build: builds the page; called once its temporary folder is set.
        host, port: address to listen on.
        ready: called with the page's address once it answers.
        options: more options of Gradio's `launch`.

    Raises:
        UserError: the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="photo2cartoon-page-") as kept:
        os.environ |= {"GRADIO_TEMP_DIR": kept, "GRADIO_ANALYTICS_ENABLED": "False"}
        import gradio

        page = build()
        try:
            _, address, _ = page.launch(
                server_name=host,
                server_port=port,
                share=False,
                quiet=True,
                show_error=True,
                prevent_thread_lock=True,
                run_history=False,
                ssr_mode=False,
                theme=gradio.themes.Base(),
                **options,
            )
        except OSError as error:
            raise UserError(f"port {port} on {host} cannot be used ({error}); choose another with --port") from None
        try:
            ready(address)
            page.block_thread()
        finally:
            page.close(verbose=False)
