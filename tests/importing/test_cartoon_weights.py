"""photo2cartoon's files become checkpoints with the same output; other files are refused with the reason."""

import collections
import json
import pickle

import numpy as np
import onnx
import pytest
import torch

from photo2cartoon import checkpoint
from photo2cartoon.errors import UserError
from photo2cartoon.importing.cartoon_weights import import_weights
from photo2cartoon.importing.names import NETWORKS
from photo2cartoon.params import Train
from photo2cartoon.training.checkpoint import start_from
from photo2cartoon.training.loop import train
from photo2cartoon.training.unpaired import UnpairedTrainer, build_networks
from tests import original

CHANNELS, SIZE = 8, 128


def states(channels=CHANNELS, size=SIZE, light=True, paddle=False):
    """All six networks under the original's names."""
    made = {}
    for seed, name in enumerate(NETWORKS):
        if name.startswith("gen"):
            shapes = original.generator_shapes(channels, size, light, paddle)
        else:
            shapes = original.discriminator_shapes(channels, 7 if name.startswith("disG") else 5)
        made[name] = original.tensors(shapes, seed)
    return made


def as_paddle(state):
    """Convert a state dict to the port's form: arrays, with linear layers transposed."""
    linear = (".weight", ".weight_orig")
    return {k: (v.T if v.dim() == 2 and k.endswith(linear) else v).numpy().copy() for k, v in state.items()}


def write(path, kind, made):
    if kind == "pt":
        torch.save(made, path)
    elif kind == "pt of torch 1.4":
        torch.save(made, path, _use_new_zipfile_serialization=False)
    elif kind == "pdparams":
        path.write_bytes(pickle.dumps({name: as_paddle(state) for name, state in made.items()}, protocol=2))
    elif kind == "pdparams of paddle.save":
        found = {
            name: {key: PaddleTensor(value) for key, value in as_paddle(state).items()} for name, state in made.items()
        }
        path.write_bytes(pickle.dumps(found, protocol=4))
        assert b"builtins" in path.read_bytes()
    else:  # the same file loaded and saved again: (name, array) pairs and a table of names
        found = {}
        for name, state in made.items():
            found[name] = {key: ("p", value) for key, value in as_paddle(state).items()}
            found[name]["StructuredToParameterName@@"] = dict.fromkeys(state, "p")
        path.write_bytes(pickle.dumps(found, protocol=2))
    return path


class PaddleTensor:
    """Tensor pickled as Paddle does it: as the call tuple((name, array))."""

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        return (tuple, (("p", self.value),))


@pytest.fixture(scope="module")
def picture():
    generator = torch.Generator().manual_seed(7)
    small = torch.rand(1, 3, 16, 16, generator=generator)
    return torch.nn.functional.interpolate(small, size=(SIZE, SIZE), mode="bicubic").clamp(0, 1) * 2 - 1


@pytest.mark.parametrize(
    "kind", ["pt", "pt of torch 1.4", "pdparams", "pdparams of paddle.save", "pdparams of named pairs"]
)
def test_every_network_answers_as_it_did(tmp_path, picture, kind):
    paddle = kind.startswith("pdparams")
    made = states(paddle=paddle)
    found = import_weights(write(tmp_path / "weights", kind, made), tmp_path / "out", SIZE)
    assert found.networks == NETWORKS and found.train.channels == CHANNELS and found.train.light
    networks = torch.nn.ModuleDict(build_networks(found.train)).eval()
    for name, state in made.items():
        networks[name].load_state_dict(checkpoint.read_tensors(tmp_path / "out" / f"{name}.safetensors"))
        with torch.inference_mode():
            expected = (
                original.generator(state, picture, paddle) if "gen" in name else original.discriminator(state, picture)
            )
            for ours, theirs in zip(networks[name](picture), expected, strict=True):
                assert (ours - theirs).abs().max() < 2e-5 * max(1, theirs.abs().max()), name


def test_the_full_variant_and_its_size_are_told_by_the_shapes(tmp_path, picture):
    made = {"genA2B": states(4, SIZE, light=False)["genA2B"]}
    found = import_weights(write(tmp_path / "full.pt", "pt", made), tmp_path / "out")
    assert (found.train.channels, found.train.size, found.train.light) == (4, SIZE, False)
    with torch.inference_mode():
        got = checkpoint.load_generator(tmp_path / "out")(picture).image
    assert (got - original.generator(made["genA2B"], picture)[0]).abs().max() < 5e-5
    with pytest.raises(UserError, match="--size 256 does not fit"):
        import_weights(tmp_path / "full.pt", tmp_path / "again", 256)


def test_of_several_gpus(tmp_path):
    made = {name: {f"module.{key}": value for key, value in state.items()} for name, state in states().items()}
    assert import_weights(write(tmp_path / "w.pt", "pt", made), tmp_path / "out", SIZE).networks == NETWORKS


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "photo2cartoon_weights.onnx"
    state = states()["genA2B"]
    return original.write_onnx(path, state, SIZE, dynamo=False, opset_version=11), state


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(
            {"dynamo": False, "opset_version": 9, "do_constant_folding": False},  # as torch 1.4 did
            id="nothing folded",
        ),
        pytest.param(
            {"dynamo": False, "opset_version": 11, "dynamic_axes": {"input": {0: "N"}, "output": {0: "N"}}},
            id="free batch",
        ),
        pytest.param({"dynamo": True, "external_data": False}, id="exporter of today", marks=pytest.mark.slow),
    ],
)
def test_onnx_whichever_names_are_left(tmp_path, picture, options):
    state = states()["genA2B"]
    found = import_weights(original.write_onnx(tmp_path / "w.onnx", state, SIZE, **options), tmp_path / "out")
    assert (found.kind, found.networks, found.train.size) == ("onnx", ("genA2B",), SIZE)
    with torch.inference_mode():
        got = checkpoint.load_generator(tmp_path / "out")(picture).image
    assert (got - original.generator(state, picture)[0]).abs().max() < 2e-5


def test_a_full_generator_from_onnx(tmp_path, picture):
    state = states(4, light=False)["genA2B"]
    original.write_onnx(tmp_path / "full.onnx", state, SIZE, dynamo=False, opset_version=11)
    found = import_weights(tmp_path / "full.onnx", tmp_path / "out")
    assert (found.train.channels, found.train.size, found.train.light) == (4, SIZE, False)
    with torch.inference_mode():
        got = checkpoint.load_generator(tmp_path / "out")(picture).image
    assert (got - original.generator(state, picture)[0]).abs().max() < 5e-5


def test_onnx_that_draws_something_else_is_refused(onnx_file, tmp_path):
    import onnx

    model = onnx.load(onnx_file[0])
    tanh = next(node for node in model.graph.node if node.op_type == "Tanh")
    tanh.op_type = "Sigmoid"
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(UserError, match=r"other\.onnx: not photo2cartoon's generator: .* draw something else"):
        import_weights(tmp_path / "other.onnx", tmp_path / "out")
    del model.graph.output[0]
    model.graph.output.append(onnx.ValueInfoProto(name="somewhere"))
    onnx.save(model, tmp_path / "elsewhere.onnx")
    with pytest.raises(UserError, match=r"elsewhere\.onnx: "):
        import_weights(tmp_path / "elsewhere.onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Evil:
    """Object that creates a file when an unsafe reader unpickles it."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (self.trace, "w"))


def test_pickled_code_is_not_run(tmp_path):
    trace = str(tmp_path / "was-here")
    for kind, payload in (("pt", {"genA2B": Evil(trace)}), ("pdparams", {"genA2B": Evil(trace)})):
        path = tmp_path / f"evil.{kind}"
        if kind == "pt":
            torch.save(payload, path)
        else:
            path.write_bytes(pickle.dumps(payload, protocol=2))
        with pytest.raises(UserError, match="refused") as told:
            import_weights(path, tmp_path / "out")
        assert "open" in str(told.value) and "\n" not in str(told.value)
        assert not (tmp_path / "was-here").exists()
    # numpy's own unpickling cannot be misused either.
    for value in (np.array([object()]), np.array(["text"]), np.zeros(2, dtype=[("a", "f4")])):
        (tmp_path / "odd.pdparams").write_bytes(pickle.dumps({"genA2B": {"x": value}}, protocol=2))
        with pytest.raises(UserError, match=r"odd\.pdparams: refused"):
            import_weights(tmp_path / "odd.pdparams", tmp_path / "out")


@pytest.mark.parametrize("kind", ["pt", "pt of torch 1.4", "pdparams"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.95])
def test_truncated_files(tmp_path, kind, share):
    path = write(tmp_path / "cut", kind, {"genA2B": states(paddle=kind == "pdparams")["genA2B"]})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match=r"cut: ") as told:
        import_weights(path, tmp_path / "out")
    assert "\n" not in str(told.value) and not (tmp_path / "out").exists()


def test_a_truncated_graph(onnx_file, tmp_path):
    (tmp_path / "cut.onnx").write_bytes(onnx_file[0].read_bytes()[:-50_000])
    with pytest.raises(UserError, match=r"cut\.onnx: truncated or no ONNX graph"):
        import_weights(tmp_path / "cut.onnx", tmp_path / "out")


def drop(name):
    return lambda made: made["genA2B"].pop(name)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (drop("DecodeBlock3.norm2.c_beta.2.bias"), "genA2B: 'DecodeBlock3.norm2.c_beta.2.bias' is missing"),
        (drop("ConvBlock1.1.weight"), "genA2B: 'ConvBlock1.1.weight' is missing"),
        (drop("FC.0.weight"), "genA2B: 'FC.0.weight' is missing"),
        (lambda made: made["disLB"].pop("conv.weight_u"), "disLB: 'conv.weight_u' is missing"),
        (lambda made: made["disGA"].update(extra=torch.zeros(1)), "disGA: 'extra' is left over"),
        (lambda made: made.update(optimizer={}), "'optimizer' is none of photo2cartoon's networks"),
        (
            lambda made: made["genB2A"].update({"FC.2.bias": torch.zeros(3)}),
            "genB2A: 'FC.2.bias' has shape (3,), not (32,)",
        ),
        (
            lambda made: made["genA2B"].update({"FC.2.bias": torch.full((32,), np.nan)}),
            "'FC.2.bias' holds numbers that are not",
        ),
        (lambda made: made.update(genB2A=states(4)["genB2A"]), "the networks differ in channels: genA2B 8, genB2A 4"),
        (lambda made: made["genA2B"].update({"FC.0.weight": torch.zeros(32, 33)}), "'FC.0.weight' has 33 inputs"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, reason):
    made = states()
    change(made)
    with pytest.raises(UserError) as told:
        import_weights(write(tmp_path / "w.pt", "pt", made), tmp_path / "out", SIZE)
    assert reason in str(told.value)
    assert not (tmp_path / "out").exists()


def test_what_is_none_of_these_files(tmp_path, p2c):
    (tmp_path / "photo.pt").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    torch.save({"state_dict": {"fc.weight": torch.zeros(2)}}, tmp_path / "other.pt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    torch.save({0: {1: torch.zeros(3)}}, tmp_path / "numbers.pt")
    torch.save({"genA2B": {"ConvBlock1.1.weight": torch.zeros(())}}, tmp_path / "scalar.pt")
    torch.save({"genA2B": {"ConvBlock1.1.weight": torch.zeros(0, 3, 7, 7)}}, tmp_path / "none.pt")
    (tmp_path / "stateless.pdparams").write_bytes(
        b"\x80\x02}X\x01\0\0\0acnumpy.core.multiarray\n_reconstruct\n)Rs."  # {"a": _reconstruct()}
    )
    (tmp_path / "deep.pdparams").write_bytes(b"\x80\x02" + b"}X\x01\0\0\0a" * 5000 + b"}" + b"s" * 5000 + b".")
    (tmp_path / "list.pdparams").write_bytes(pickle.dumps([1, 2], protocol=2))
    (tmp_path / "empty.pdparams").write_bytes(pickle.dumps(collections.OrderedDict(), protocol=2))
    for name, reason in (
        ("nowhere.pt", "no such file"),
        ("photo.pt", "is neither a .pt, a .pdparams nor an .onnx file"),
        ("other.pt", "holds none of genA2B, genB2A, disGA, disGB, disLA, disLB, but state_dict"),
        ("tensor.pt", "holds a Tensor, not weights by their names"),
        ("numbers.pt", "holds none of genA2B, genB2A, disGA, disGB, disLA, disLB, but 0"),
        ("scalar.pt", "genA2B: 'ConvBlock1.1.weight' has shape (), which is no convolution"),
        ("none.pt", "genA2B: 'ConvBlock1.1.weight' has shape (0, 3, 7, 7), which is no convolution"),
        ("stateless.pdparams", "truncated or damaged pickle"),
        ("deep.pdparams", "truncated or damaged pickle (maximum recursion depth exceeded"),
        ("list.pdparams", "holds a list, not weights by their names"),
        ("empty.pdparams", "holds none of genA2B"),
    ):
        with pytest.raises(UserError) as refused:
            import_weights(tmp_path / name, tmp_path / "out")
        assert str(refused.value).startswith(f"{tmp_path / name}: {reason}")
    done = p2c("import-weights", "list.pdparams", "--out", "out", code=1)
    assert done.stderr == "p2c: list.pdparams: holds a list, not weights by their names\n"
    assert not (tmp_path / "out").exists()


def test_an_old_file_is_cut_anywhere(tmp_path):
    """Of torch 1.5 and before, without a zip."""
    torch.save(states(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    content = (tmp_path / "old.pt").read_bytes()
    for end in (*range(16, 4000, 37), len(content) - 1):
        (tmp_path / "cut.pt").write_bytes(content[:end])
        with pytest.raises(UserError, match=r"cut\.pt: (truncated or damaged|refused)"):
            import_weights(tmp_path / "cut.pt", tmp_path / "out")


def test_a_graph_of_a_later_onnx_is_a_sentence(tmp_path):
    """onnxruntime reads older ones than onnx writes."""
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("input", "output")]
    constant = onnx.helper.make_node("Constant", [], ["c"], value_float=1.0)
    added = onnx.helper.make_node("Add", ["input", "c"], ["output"])
    graph = onnx.helper.make_graph([constant, added], "later", ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", onnx.defs.onnx_opset_version())])
    onnx.save(model, str(tmp_path / "later.onnx"))
    with pytest.raises(
        UserError, match=r"later\.onnx: (its constants cannot be computed|not photo2cartoon's generator)"
    ):
        import_weights(tmp_path / "later.onnx", tmp_path / "out")


@pytest.mark.slow
def test_training_and_drawing_go_on_from_it(tmp_path, p2c, faces, weights, hopper):
    write(tmp_path / "w.pt", "pt", states())
    done = p2c("import-weights", "w.pt", "--out", "imported", "--size", SIZE)
    assert done.stdout.startswith(
        "imported: genA2B, genB2A, disGA, disGB, disLA, disLB from a torch file; light, 8 channels"
    )
    assert "Not in it" not in done.stdout
    assert p2c("import-weights", "w.pt", "--out", "imported", code=1).stderr.startswith("p2c: imported: already exists")
    p2c("cartoonize", hopper, "--checkpoint", "imported", "--weights", weights, "--out", "drawn.png")
    section = {"size": SIZE, "channels": CHANNELS, "steps": 2, "log_every": 1, "lr": 1e-6}
    (tmp_path / "params.yaml").write_text(json.dumps({"train": section}))
    given = ["--data", faces, "--weights", weights]
    done = p2c("train", *given, "--out", "run", "--start-from", "imported")
    assert "starts from imported" in done.stderr
    before = checkpoint.load_generator(tmp_path / "imported").state_dict()
    after = checkpoint.load_generator(tmp_path / "run/checkpoints/step-000002", which="raw").state_dict()
    moved = max(float((after[name] - value).abs().max()) for name, value in before.items())
    assert 0 < moved < 1e-4
    narrow = Train(**section | {"channels": 4, "start_from": str(tmp_path / "imported")})
    with pytest.raises(UserError, match=r"imported: has channels 8, train\.channels is 4"):
        train(narrow, faces, weights, tmp_path / "other")


@pytest.mark.parametrize(
    ("kind", "inside", "told"),
    [
        ("pt", ("genA2B", "genB2A", "disGA", "disGB", "disLA"), "disLB; randomly initialised in training"),
        ("pdparams", ("genA2B", "disLB"), "genB2A, disGA, disGB, disLA; randomly initialised in training"),
        ("pt", ("genA2B",), "genB2A, disGA, disGB, disLA, disLB; randomly initialised in training"),
    ],
)
def test_networks_that_a_file_has_not_are_named(tmp_path, p2c, kind, inside, told):
    made = states(paddle=kind == "pdparams")
    write(tmp_path / "w", kind, {name: made[name] for name in inside})
    done = p2c("import-weights", "w", "--out", "out", "--size", SIZE)
    assert done.stdout.splitlines()[1] == f"Not in it: {told}"


def test_a_graph_is_imported_without_a_warning(onnx_file, p2c):
    done = p2c("import-weights", onnx_file[0], "--out", "out")
    assert done.stderr == ""
    assert "Not in it: genB2A, disGA, disGB, disLA, disLB;" in done.stdout


def test_a_start_without_discriminators_says_so(tmp_path, onnx_file):
    import_weights(onnx_file[0], tmp_path / "out")
    state = UnpairedTrainer(Train(channels=CHANNELS, size=SIZE), None, torch.device("cpu")).state
    fresh = start_from(tmp_path / "out", state)
    assert fresh == ["genB2A", "disGA", "disGB", "disLA", "disLB"]
    drawn = checkpoint.load_generator(tmp_path / "out").state_dict()
    for name, value in state.ema["genA2B"].state_dict().items():
        assert torch.equal(value, drawn[name])
