"""The container files, as far as they can be judged without an engine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from frontend import stack

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
# Read by compose or by the web server, not by the settings.
OUTSIDE = {"POSTGRES_PASSWORD", "PORT", "GRANIAN_WORKERS", "WEB_IMAGE", "TRAINER_IMAGE", "TRAINER_BASE"}


def tool(name: str) -> str:
    """Return the path of a program that came with the `test` extra."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    assert found, f"{name} comes with the test extra"
    return found


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", ["web.Dockerfile", "trainer.Dockerfile"])
def test_hadolint_has_nothing_to_say(name: str):
    checked = run(tool("hadolint"), str(DOCKER / name))
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("name", ["compose.yaml", "compose.gpu.yaml"])
def test_compose_fits_the_published_schema_and_a_slip_does_not(name: str, tmp_path: Path):
    schema = ("--builtin-schema", "vendor.compose-spec")
    checked = run(tool("check-jsonschema"), *schema, str(DOCKER / name))
    assert checked.returncode == 0, checked.stdout
    slip = tmp_path / "compose.yaml"
    slip.write_text((DOCKER / name).read_text().replace("services:", "servces:", 1))
    assert run(tool("check-jsonschema"), *schema, str(slip)).returncode != 0


def merged(under: object, over: object) -> object:
    """Return what compose makes of two files: mappings are joined, what else is in both is the second's."""
    if isinstance(under, dict) and isinstance(over, dict):
        return {name: merged(under.get(name, over.get(name)), over.get(name, under.get(name))) for name in under | over}
    return over


def test_with_gpus_only_what_runs_models_gets_them(tmp_path: Path):
    """The two files together are what compose takes, and differ from the first by the GPUs and the image's base."""
    plain, gpu = (yaml.safe_load((DOCKER / name).read_text()) for name in ("compose.yaml", "compose.gpu.yaml"))
    both = merged(plain, gpu)
    assert isinstance(both, dict) and both["services"].keys() == plain["services"].keys()
    file = tmp_path / "both.yaml"
    file.write_text(yaml.safe_dump(both))
    checked = run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(file))
    assert checked.returncode == 0, checked.stdout
    devices = [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]
    changed = {name: one for name, one in both["services"].items() if one != plain["services"][name]}
    assert changed.keys() == {"worker-gpu", "worker-chat"}
    for name, service in changed.items():
        assert service.pop("deploy") == {"resources": {"reservations": {"devices": devices}}}, name
        service.get("build", {}).get("args", {}).pop("BASE", None)
        plain["services"][name].get("build", {}).get("args", {}).pop("BASE", None)
        assert service == plain["services"][name], name
    # One image: the chat worker takes what the other was built as.
    assert changed["worker-chat"]["image"] == changed["worker-gpu"]["image"]
    assert "cuda" in gpu["services"]["worker-gpu"]["build"]["args"]["BASE"]


def test_every_setting_is_explained_and_nothing_else():
    """env.example is the reference: a name in settings.py without its line there fails, and so does the reverse."""
    settings = set(re.findall(r'\benv(?:\.\w+)?\(\s*"([A-Z_]+)"', (ROOT / "frontend" / "settings.py").read_text()))
    lines = (DOCKER / "env.example").read_text().splitlines()
    explained = [match.group(1) for line in lines if (match := re.match(r"#?([A-Z][A-Z_]+)=", line))]
    assert len(explained) == len(set(explained))
    assert set(explained) - OUTSIDE == settings
    for name in explained:
        above = lines[next(i for i, line in enumerate(lines) if re.match(rf"#?{name}=", line)) - 1]
        assert above.startswith("# ") or re.match(r"#?[A-Z_]+=", above), f"{name} has no explanation above it"


def test_every_variable_of_compose_is_in_the_example():
    text = (DOCKER / "compose.yaml").read_text() + (DOCKER / "compose.gpu.yaml").read_text()
    asked_for = set(re.findall(r"\$\{([A-Z_]+)", text))
    explained = set(re.findall(r"^#?([A-Z][A-Z_]+)=", (DOCKER / "env.example").read_text(), re.MULTILINE))
    assert asked_for <= explained


def test_services_wait_for_what_they_need_and_run_without_rights():
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    assert set(services) == {"db", "broker", "migrate", "web", "beat", "worker-default", "worker-gpu", "worker-chat"}
    ours = set(services) - {"db", "broker"}
    for name in ours:
        assert services[name]["cap_drop"] == ["ALL"] and services[name]["read_only"] is True, name
    for name in ours - {"migrate"}:
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}, name
    named = {volume for service in services.values() for volume in service.get("volumes", [])}
    assert {volume.split(":")[0] for volume in named} == {"data", "database", "broker"}


@pytest.mark.parametrize("name", ["web", "trainer"])
def test_images_run_as_nobody_special_and_are_asked_for_their_health(name: str):
    text = (DOCKER / f"{name}.Dockerfile").read_text()
    assert "USER 10001:10001" in text.split("HEALTHCHECK")[0]
    assert "HEALTHCHECK" in text and "VOLUME /data" in text
    (extras,) = re.findall(r"-e '\.\[([a-z0-9,]+)\]'", text)
    assert ("train" in extras.split(",")) == (name == "trainer")
    # What is not named is not copied: no data, no secrets, no history.
    assert (DOCKER / f"{name}.Dockerfile.dockerignore").read_text().startswith("*\n")


def test_the_web_server_is_started_in_one_way():
    """The image and the docs for bare machines say the options again."""
    options = " ".join(stack.WEB_OPTIONS)
    image = " ".join(re.findall(r'"([^"]+)"', (DOCKER / "web.Dockerfile").read_text().split("CMD")[-1]))
    docs = (DOCKER / "README.md").read_text().replace("\\\n", "")
    for text in (image, " ".join(docs.split())):
        assert options in text


def test_the_web_image_gets_no_torch():
    """What `pip install .` takes without an extra: the pins it may use are not those of the training packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {re.split(r"[^a-z0-9-]", line)[0] for line in project["dependencies"]}
    assert named & {"torch", "transformers", "peft", "accelerate", "numpy", "safetensors"} == set()
