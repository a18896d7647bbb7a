"""Two processes train one Learner: every item's target is right, and losses are those of one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fastai_items import make_net, make_targets, write_images
from torch.nn.functional import cross_entropy

pytest.importorskip("accelerate", reason="fastai's distributed training needs accelerate")

N, EPOCHS = 40, 3


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each of two gloo processes saw: colours and targets (steps, 4, 3), losses (steps,)."""
    folder = tmp_path_factory.mktemp("two")
    write_images(folder / "images", make_targets(N))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    both |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    tests = Path(__file__).parents[1]
    paths = [str(tests), str(tests.parent / "src"), os.environ.get("PYTHONPATH", "")]
    both["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    command = [sys.executable, str(Path(__file__).with_name("one_of_two.py"))]
    processes = []
    for rank in range(2):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        processes.append(
            subprocess.Popen(
                [*command, str(folder), str(N), str(EPOCHS)],
                env={**os.environ, **both, **own},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    said = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    return [dict(np.load(folder / f"rank-{rank}.npz")) for rank in range(2)]


def test_every_item_of_both_processes_has_its_own_target(ranks):
    seen = []
    for rank in ranks:
        assert rank["world"] == 2 and rank["backend"] == "gloo"
        np.testing.assert_allclose(rank["colours"], rank["targets"], atol=1e-4)
        seen.append({tuple(np.round(t * 255)) for t in rank["targets"].reshape(-1, 3)})
    assert len(seen[0] | seen[1]) == N - 8, "all training items took part"
    steps = N - 8, ranks[0]["targets"].shape[0] * 2 * 4 // EPOCHS
    assert steps[0] == steps[1], "an epoch deals every item to one process, once"


def test_losses_and_weights_are_those_of_one_process_on_the_same_batches(ranks):
    torch.manual_seed(0)
    net = make_net()
    torch.manual_seed(0)
    net[2].reset_parameters()
    sgd = torch.optim.SGD(net.parameters(), lr=0.5)
    for step in range(len(ranks[0]["losses"])):
        colours, targets = (
            torch.from_numpy(np.concatenate([rank[name][step] for rank in ranks]))
            for name in ("colours", "targets")
        )
        loss = cross_entropy(net(colours[..., None, None]), targets)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        assert loss.item() == pytest.approx(np.mean([r["losses"][step] for r in ranks]), abs=1e-5)
    for rank in ranks:
        np.testing.assert_allclose(rank["weight"], net[2].weight.detach().numpy(), atol=1e-5)
