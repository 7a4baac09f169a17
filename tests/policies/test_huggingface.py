import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import T5Config

from swarm_ray.errors import ModelError
from swarm_ray.policies.huggingface import load_huggingface

HUB_ANSWERS = {"nobody/nothing": (404, "RepoNotFound"), "meta/gated": (403, "GatedRepo")}


def refusal(model: object) -> str:
    with pytest.raises(ModelError) as error:
        load_huggingface(str(model))
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith(f"policy.model={str(model)!r}")
    return text


def change(folder, **settings):
    """Changes settings of a saved model's config.json; None removes one."""
    path = folder / "config.json"
    found = json.loads(path.read_text()) | settings
    path.write_text(json.dumps({key: value for key, value in found.items() if value is not None}))


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt2"])
def test_a_saved_model_comes_back(saved, build, architecture, monkeypatch):
    monkeypatch.setenv("HOME", str(saved(architecture, chat=False).parent))
    language = load_huggingface(f"~/{architecture}")
    assert language.eos_ids == (3,)  # a base model ends with its tokenizer's token
    model, tokenizer = language.model, language.tokenizer
    expected = build(architecture).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    assert all(p.dtype == torch.float32 and p.requires_grad for p in model.parameters())
    assert not model.training
    assert model.config._attn_implementation == "sdpa"
    assert tokenizer.decode(tokenizer.encode("what is 12 , plus 30 ?")) == "what is 12 , plus 30 ?"
    assert tokenizer.pad_token_id == 0
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert tied == (architecture != "llama")


def test_weights_saved_in_half_precision_become_float32_masters(saved, build):
    folder = saved("llama")
    build("llama").to(torch.bfloat16).save_pretrained(folder)
    assert {p.dtype for p in load_huggingface(str(folder)).model.parameters()} == {torch.float32}


def test_padding_is_the_end_of_sequence_where_there_is_none(saved, tokenizer):
    tokenizer.pad_token = None
    found = load_huggingface(str(saved("llama")))
    assert found.tokenizer.pad_token_id == 3
    assert found.banned_ids == tuple(range(len(found.tokenizer), 320))


def test_every_token_that_ends_is_known_the_turns_end_first(saved, tokenizer):
    folder = saved("llama")
    path = folder / "generation_config.json"
    for named, expected in [([9, 3], (2, 3, 9)), (9, (2, 3, 9)), (None, (2, 3)), ([9, 5000], (2, 3, 9))]:
        path.write_text(json.dumps({"eos_token_id": named}))
        found = load_huggingface(str(folder))
        assert found.eos_ids == expected
        assert found.banned_ids == (0, *range(len(found.tokenizer), 320))


def test_a_model_without_any_end_is_refused(saved, tokenizer):
    tokenizer.eos_token = None
    folder = saved("llama", chat=False, eos_token_id=None)
    assert "no end-of-sequence token" in refusal(folder)


def test_a_name_that_leads_to_no_model(tmp_path):
    for name in (tmp_path / "absent", "./absent", "../absent", "a/b/c"):
        assert "no such folder; check the path" in refusal(name)
    for name in ("bad name", "a--b", "-owner/name", "owner/na me"):
        assert "neither a folder nor a Hugging Face name" in refusal(name)
    assert "without config.json" in refusal(tmp_path)
    (tmp_path / "model.gguf").write_bytes(b"")
    assert "is a file; name the folder" in refusal(tmp_path / "model.gguf")


def test_no_safetensors_and_never_pickle(saved, build):
    folder = saved("llama")
    for file in folder.glob("*.safetensors"):
        file.unlink()
    torch.save(build("llama").state_dict(), folder / "pytorch_model.bin")
    assert "no safetensors weights, and pickled ones are never read" in refusal(folder)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantized"),
        ({"model_type": "swarmformer"}, "upgrade transformers"),
        ({"model_type": None, "architectures": None}, "cannot be loaded"),
    ],
)
def test_a_configuration_that_cannot_be_trained(saved, settings, said):
    folder = saved("llama")
    change(folder, **settings)
    assert said in refusal(folder)
    (folder / "config.json").write_text("{")
    assert "cannot be loaded" in refusal(folder)
    T5Config().save_pretrained(folder)
    assert "is a t5 model, not a causal language model" in refusal(folder)


def test_code_of_the_repository_is_never_run(saved):
    folder = saved("llama")
    ran = folder / "ran"
    (folder / "theirs.py").write_text(
        f"import pathlib\nfrom transformers import LlamaConfig\npathlib.Path({str(ran)!r}).touch()\n"
        "class Theirs(LlamaConfig):\n    model_type = 'theirs'\n"
    )
    change(folder, model_type="theirs", auto_map={"AutoConfig": "theirs.Theirs"})
    assert "needs code of its own, which is never run" in refusal(folder)
    assert not ran.exists()


def test_weights_that_are_missing_damaged_or_of_another_shape(saved, build):
    folder = saved("llama")
    file = folder / "model.safetensors"
    tensors = load_file(file)
    save_file({k: v for k, v in tensors.items() if "q_proj" not in k}, file, {"format": "pt"})
    assert "its files lack 2 of its weights (model.layers.0.self_attn.q_proj.weight, say)" in refusal(folder)
    file.write_bytes(b"not a checkpoint")
    assert "the model cannot be loaded" in refusal(folder)
    save_file(tensors, file, {"format": "pt"})
    change(folder, intermediate_size=48)
    assert "its weights have other shapes than its config.json says" in refusal(folder)


def test_a_tokenizer_that_is_missing_or_damaged(saved):
    folder = saved("llama")
    odd = '{"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": 3}}'
    for damaged in ("{}", "{", odd):
        (folder / "tokenizer.json").write_text(damaged)
        assert "the tokenizer cannot be loaded" in refusal(folder)
    for file in folder.glob("*token*"):
        file.unlink()
    assert "the tokenizer cannot be loaded" in refusal(folder)


class _Hub(BaseHTTPRequestHandler):
    """Answers as huggingface.co does for models one may not or cannot have."""

    def do_HEAD(self) -> None:
        name = "/".join(self.path.split("/")[1:3])
        status, code = HUB_ANSWERS[name]
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_request(self, *args: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_name_that_the_hub_does_not_know_and_a_gated_model(hub):
    assert "huggingface.co has no such model; check the spelling" in refusal("nobody/nothing")
    terms = "accept its terms at https://huggingface.co/meta/gated and set HF_TOKEN"
    assert terms in refusal("meta/gated")


def test_a_name_without_a_network(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    said = refusal("nobody/never-seen")
    assert "huggingface.co cannot be reached; go online, or name a local folder" in said
