"""A run's state that is cut over devices: whole on disk, and cut anew over however many there are then."""

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import sys
from pathlib import Path
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from benchmark.train import checkpoint, state_jax
from benchmark.train.checkpoint import Progress

def tree(count, value):
    mesh = Mesh(np.array(jax.devices()[:count]), ("devices",))
    wide = jax.device_put(value * jnp.arange(48.0).reshape(16, 3), NamedSharding(mesh, P("devices")))
    same = jax.device_put(value * jnp.ones(5), NamedSharding(mesh, P()))
    return {"cut": wide, "same": same, "n": jnp.int32(7)}

path = Path(sys.argv[1])
eight = tree(8, 3.0)
kept = state_jax.to_host(eight)
jax.jit(lambda t: jax.tree.map(lambda x: x + 1, t), donate_argnums=0)(eight)  # which gives its memory away
checkpoint.save(path, Progress(step=5), kept)
found = checkpoint.load(path, 3)
for count in (8, 4, 1):
    like = tree(count, 0.0)
    back = state_jax.to_device(found[1], like)
    assert back["cut"].sharding == like["cut"].sharding and len(back["cut"].sharding.device_set) == count
    assert back["cut"].addressable_shards[0].data.shape == (16 // count, 3)
    assert (np.asarray(back["cut"]) == 3.0 * np.arange(48.0).reshape(16, 3)).all()
    assert (np.asarray(back["same"]) == 3.0).all() and int(back["n"]) == 7 and back["n"].dtype == jnp.int32
print("restored")
"""


def test_a_state_of_eight_devices_goes_on_on_eight_four_and_one(tmp_path: Path) -> None:
    flags = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / "state.npz")], capture_output=True, text=True, env=flags
    )
    assert done.stdout == "restored\n", done.stderr[-2000:]
