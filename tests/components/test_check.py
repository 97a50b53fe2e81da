"""`check` refuses wrong parameters before any step runs, in one line."""

import pytest

from components.check import check
from photo2cartoon.params import Params, Preprocess
from photo2cartoon.params.arguments import to_arguments


def test_a_list_of_held_out_pictures_that_the_image_lacks_is_refused(capsys):
    given = to_arguments(Params(preprocess=Preprocess(test_list="nowhere.txt")))
    wanted = {name: given[name] for name in check.component_spec.inputs if name in given}
    with pytest.raises(SystemExit) as left:
        check.python_func(**wanted, mlflow_uri="", repository="", server="")
    assert left.value.code == 1
    assert capsys.readouterr().err == "check: preprocess.test_list: nowhere.txt: No such file or directory\n"
