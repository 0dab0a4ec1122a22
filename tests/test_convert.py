import pickle

import numpy as np
import pytest
import torch
from scipy.special import expit

import skygal
from skygal.bastien2021.weights import convert_weights, load_paper_model, read_state_dict
from skygal.cli.main import main

WIDTHS = (24, 20, 16, 12, 10)


def state_dict(conditional=True, latent_dim=3, side=14, seed=0):
    """Return a made-up state dict with the authors' keys."""
    generator = torch.Generator().manual_seed(seed)
    labels, pixels = 2 * conditional, side**2
    encoder, decoder = [pixels + labels, *WIDTHS], [latent_dim + labels, *WIDTHS[::-1], pixels]
    shapes = {f"encoder.fc{i + 1}": (encoder[i + 1], encoder[i]) for i in range(5)}
    shapes |= {f"encoder.fc6{i}": (latent_dim, WIDTHS[-1]) for i in (1, 2)}
    shapes |= {f"decoder.fc{i + 7}": (decoder[i + 1], decoder[i]) for i in range(6)}
    out = {}
    for name, shape in shapes.items():
        name = name.replace("encoder", "encoder_z") if conditional else name
        out[f"{name}.weight"] = torch.randn(shape, generator=generator) * 0.25
        out[f"{name}.bias"] = torch.randn(shape[0], generator=generator) * 0.25
    return out


def decoded(state, inputs):
    """Return the decoder of Table 2, written out: slope 1e-4, sigmoid at the end, dropout off."""
    x = np.asarray(inputs, float)
    for i in range(7, 12):
        x = x @ state[f"decoder.fc{i}.weight"].double().numpy().T + state[f"decoder.fc{i}.bias"].double().numpy()
        x = np.where(x > 0, x, 1e-4 * x)
    return expit(x @ state["decoder.fc12.weight"].double().numpy().T + state["decoder.fc12.bias"].double().numpy())


def written(tmp_path, state, name="weights.pt"):
    torch.save(state, tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize("conditional", [True, False])
def test_decodes_identically(tmp_path, conditional):
    state = state_dict(conditional)
    path = convert_weights(written(tmp_path, state), tmp_path / "out.safetensors")
    if conditional:
        generator = skygal.load_model(path)
    else:
        with pytest.warns(UserWarning, match="is a VAE"):
            generator = skygal.load_model(path)
    z = np.random.default_rng(1).uniform(-4, 4, (9, 3))
    fr_class = np.array(["FRI", "FRII", "FRI"] * 3)
    inputs = np.hstack([z, np.stack([fr_class == "FRI", fr_class == "FRII"], axis=1)]) if conditional else z
    made = generator.decode(z, fr_class)
    assert np.abs(made - decoded(state, inputs).reshape(9, 14, 14)).max() < 1e-6
    assert (generator.name, generator.latent_dim, generator.shape) == ("out", 3, (14, 14))


def test_weights_are_exact_and_the_encoder_is_kept(tmp_path):
    state = state_dict()
    model = load_paper_model(convert_weights(written(tmp_path, state), tmp_path / "out.safetensors"))
    read = model.state_dict()
    for key, value in state.items():
        assert torch.equal(read[key.replace("encoder_z", "encoder")], value)


def test_the_shape_is_read_off(tmp_path):
    _, arch = read_state_dict(written(tmp_path, state_dict(latent_dim=5, side=8)))
    assert (arch.latent_dim, arch.side, arch.widths, arch.conditional) == (5, 8, WIDTHS, True)
    # a checkpoint that keeps the state dict among other things, and in double precision
    wrapped = {"epoch": 3, "model_state_dict": {key: value.double() for key, value in state_dict(False).items()}}
    tensors, arch = read_state_dict(written(tmp_path, wrapped))
    assert not arch.conditional and tensors["encoder.fc61.weight"].dtype == np.float32


def test_no_pickled_code_is_run(tmp_path):
    class Harm:
        def __reduce__(self):
            return (open, (str(tmp_path / "harmed"), "w"))

    path = tmp_path / "bad.pt"
    torch.save({"a": Harm()}, path)
    with pytest.raises(ValueError, match="must be a whole file of tensors and plain values, and nothing else"):
        read_state_dict(path)
    path.write_bytes(pickle.dumps({"a": Harm()}))
    with pytest.raises(ValueError, match="must be a whole file of tensors and plain values, and nothing else"):
        read_state_dict(path)
    assert not (tmp_path / "harmed").exists()


def changed(**entries):
    state = state_dict()
    for key, value in entries.items():
        key = key.replace("__", ".")
        if value is None:
            del state[key]
        else:
            state[key] = value
    return state


@pytest.mark.parametrize(("state", "said"), [
    (changed(decoder__fc9__bias=None), "must hold encoder_z.fc1 .* got no decoder.fc9.bias"),
    (changed(decoder__fc13__bias=torch.zeros(3)), "got an unknown decoder.fc13.bias"),
    (changed(decoder__fc7__weight=torch.zeros(10, 4)),
     r"decoder.fc7.weight in .* must have shape \(10, 5\) beside the other layers, got \(10, 4\)"),
    (changed(encoder_z__fc62__bias=torch.zeros(4)), r"encoder.fc62.bias in .* must have shape \(3,\)"),
    (changed(decoder__fc8__weight=torch.zeros(3)), "decoder.fc8.weight in .* must be a matrix of real numbers"),
    (changed(decoder__fc8__bias=torch.zeros(12, dtype=torch.int64)), "decoder.fc8.bias in .* must be a vector of real"),
    (changed(decoder__fc8__bias=torch.full((12,), torch.nan)), "decoder.fc8.bias in .* must be finite"),
    (changed(decoder__fc12__bias=torch.zeros(190)), "must have one value a pixel of a square image, got 190"),
    ({"a": 3}, "must map names to tensors"), (torch.zeros(3), "must map names to tensors, got Tensor")])
def test_what_does_not_fit_is_refused(tmp_path, state, said):
    with pytest.raises(ValueError, match=said):
        convert_weights(written(tmp_path, state), tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_files_that_are_damaged_or_in_the_way(tmp_path):
    with pytest.raises(FileNotFoundError, match="state dict .*none.pt' not found"):
        convert_weights(tmp_path / "none.pt", tmp_path / "out.safetensors")
    path = written(tmp_path, state_dict())
    with pytest.raises(ValueError, match="output must end in .safetensors, got 'x.pt'"):
        convert_weights(path, "x.pt")
    (tmp_path / "cut.pt").write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match="must be a whole file of tensors"):
        convert_weights(tmp_path / "cut.pt", tmp_path / "out.safetensors")
    convert_weights(path, tmp_path / "out.safetensors")
    with pytest.raises(FileExistsError):
        convert_weights(path, tmp_path / "out.safetensors")


def test_command(tmp_path, capsys):
    path = written(tmp_path, state_dict())
    out = tmp_path / "out.safetensors"
    assert main(["convert-weights", str(path), "--output", str(out), "--name", "theirs"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert skygal.load_model(out).name == "theirs"
    assert main(["convert-weights", str(path), "--output", str(out)]) == 1
    assert "exists" in capsys.readouterr().err
    assert main(["stamps", "--n", "2", "--seed", "1", "--latents", "uniform", "--clip-sigma", "none", "--size", "32",
                 "--model", str(out), "--output", str(tmp_path / "stamps"), "--no-progress"]) == 0
