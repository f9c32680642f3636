"""The demo's envoy.yaml as the generator makes it today: `python -m tests.demo.envoy_yaml` writes it."""

import tempfile
from pathlib import Path

import tidegate.demo
from tidegate.demo import edge
from tidegate.demo.materials import make_materials
from tidegate.envoy.config import Address, EnvoyConfig
from tidegate.policy import load_policy


def rendered() -> str:
    with tempfile.TemporaryDirectory() as directory:
        policy = load_policy(make_materials(Path(directory)).policy)
    config = EnvoyConfig.for_policy(
        policy,
        listen=Address(*edge.LISTEN),
        admin=Address(*edge.ADMIN),
        workers=tuple(Address(*worker) for worker in edge.WORKERS),
        default_upstream=Address(*edge.MODEL),
    )
    return config.render()


if __name__ == "__main__":
    Path(tidegate.demo.__file__).with_name("envoy.yaml").write_text(rendered(), "utf-8")
