"""Serves a page built with Gradio until the process is asked to end, and deletes what people uploaded."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from photo2cartoon.errors import UserError

if TYPE_CHECKING:
    import gradio


# Names of loopback in a request. Starlette cuts a name at its first colon: "[" is what is left of an IPv6 address.
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[")


def serve(
    build: Callable[[], gradio.Blocks],
    host: str,
    port: int,
    ready: Callable[[str], None],
    names: Sequence[str] = (),
    **options: Any,
) -> None:
    """Serve a page. It contacts no other machine: a caller's URL is refused, where Gradio would fetch it.

    Args:
        build: builds the page; called once its temporary folder is set.
        host, port: address to listen on.
        ready: called with the page's address once it answers.
        names: host names that it answers to, besides those of loopback; none answers to every name, except on loopback: a
            web page from elsewhere could take a name for itself that leads to this machine.
        options: more options of Gradio's `launch`.

    Raises:
        UserError: the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="photo2cartoon-page-") as kept:
        os.environ |= {"GRADIO_TEMP_DIR": kept, "GRADIO_ANALYTICS_ENABLED": "False"}
        import gradio
        from starlette.middleware import Middleware
        from starlette.middleware.trustedhost import TrustedHostMiddleware

        async def refuse(url: str) -> NoReturn:
            raise gradio.Error(f"{url}: is not fetched; upload the picture", print_exception=False)

        gradio.processing_utils.async_ssrf_protected_get = refuse
        answers_to = [*LOOPBACK_NAMES, *names] if names or host in (*LOOPBACK_NAMES, "::1") else ["*"]
        options["app_kwargs"] = {"middleware": [Middleware(TrustedHostMiddleware, allowed_hosts=answers_to)]}
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
