"""The trackers' own libraries, in an environment of their own and without a network: `pytest -m wheel` (minutes; wants an index).

`test_comforts.py` asks which calls a run makes of them; here what they then have kept is read back.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.wheel
ROOT = Path(__file__).parents[1]
NOTE = """
import sys
from pathlib import Path
from PIL import Image
from train.config.settings import Config
from train.run.tracking import tracker

folder = Path(sys.argv[2])
tracking = tracker(Config(track=sys.argv[1], name="r"), folder, 0)
for step in (1, 2):
    tracking.picture(Image.new("RGB", (8, 8)), step)
    tracking.write({"step": step, "D_A": step / 8, "lr": 0.5, "flat": "a name"})
tracking.close()
"""
READ = {
    "trackio": """
import json, sqlite3, sys
from pathlib import Path
(file,) = Path(sys.argv[1]).rglob("palindrome.db")
rows = [(step, json.loads(values)) for step, values in sqlite3.connect(file).execute("select step, metrics from metrics")]
print(sorted((step, values["D/D_A"], values["run/lr"]) for step, values in rows if "D/D_A" in values))
print(sum("samples" in values for _, values in rows))
""",
    "mlflow": """
import sys
from pathlib import Path
from mlflow import MlflowClient
client = MlflowClient()
(run,) = client.search_runs([client.get_experiment_by_name("palindrome").experiment_id])
history = {name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)] for name in ("D/D_A", "run/lr")}
assert run.info.run_name == "r" and run.data.params["crop_size"] == "256" and len(run.data.metrics) == 2
print([(step, value, rate) for (step, value), (_, rate) in zip(*map(sorted, history.values()))])
print(len(client.list_artifacts(run.info.run_id, "samples")))
""",
    "wandb": """
import json, struct, sys
from pathlib import Path
from wandb.proto.wandb_internal_pb2 import Record
(file,) = Path(sys.argv[1]).rglob("*.wandb")
data, found, record, place = file.read_bytes(), {}, b"", 7  # LevelDB's log: a record in parts, each behind 7 bytes, in blocks of 32 KB
while place + 7 <= len(data):
    _, size, part = struct.unpack("<IHB", data[place : place + 7])
    record, place = record + data[place + 7 : place + 7 + size], place + 7 + size
    if part in (1, 4):  # whole, or the last
        items = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in Record.FromString(record).history.item}
        record = b""
        if "D/D_A" in items:
            found[items["_step"]] = (items["D/D_A"], items["run/lr"])
    place += -place % 32768 if place % 32768 > 32768 - 7 else 0
print([(step, *values) for step, values in sorted(found.items())])
print(len(list(Path(sys.argv[1]).rglob("samples_*.png"))))
""",
}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all three are. mlflow-skinny keeps what it is told in files, if it is asked to, and brings a tenth of mlflow."""
    folder = tmp_path_factory.mktemp("trackers")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    found = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run(
        [found, "-m", "pip", "install", "-q", "numpy", "pillow", "trackio", "wandb", "mlflow-skinny"], check=True
    )
    return found


@pytest.mark.parametrize("name", READ)
def test_a_tracker_has_kept_what_it_was_told(name: str, python: Path, tmp_path: Path) -> None:
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV", "WANDB", "MLFLOW", "TRACKIO"))
    }
    kept |= {"HOME": str(tmp_path), "WANDB_MODE": "offline", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    kept |= {"MLFLOW_TRACKING_URI": (tmp_path / "mlruns").as_uri(), "MLFLOW_ALLOW_FILE_STORE": "true"}
    for code, words in ((NOTE, (name, tmp_path)), (READ[name], (tmp_path,))):
        done = subprocess.run(
            [python, "-c", code, *words], cwd=tmp_path, env=kept, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["[(1, 0.125, 0.5), (2, 0.25, 0.5)]", "2"]
