"""A loop written by hand whose step is recorded as a CUDA graph, with fused Adam.

Bytes and indices lie on the device, and a replay is a step. On the processor the same step runs as
it is.
"""

from collections.abc import Callable

import torch
from _common import BATCH, DEVICE, EPOCHS, RATE, Stopwatch, finish, train_grey
from _net import Net, weights

_WARM_UP = 3  # steps before recording, in which libraries choose their algorithms


def step() -> None:
    """Of the optimiser, on the images of ``index``; leaves no gradients, as a recording wants."""
    net.loss(torch.bernoulli(data[index] / 255)).backward()
    optimizer.step()
    optimizer.zero_grad()


def recorded(work: Callable[[], None]) -> Callable[[], None]:
    """What does the work again, with new noise, by one launch."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP):
            index.random_(len(data))
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


torch.manual_seed(0)
on_gpu = DEVICE == "gpu"
device = torch.device("cuda" if on_gpu else "cpu")
data = torch.from_numpy(train_grey()).to(device)
index = torch.zeros(BATCH, dtype=torch.long, device=device)
net = Net().to(device)
optimizer = torch.optim.Adam(net.parameters(), lr=RATE, fused=True, capturable=on_gpu)
watch = Stopwatch(len(data) // BATCH)
take = recorded(step) if on_gpu else step
for _ in range(EPOCHS):
    for block in torch.randperm(len(data), device=device).split(BATCH):
        index.copy_(block)
        take()
        watch.step()
net.cpu()
finish(watch, weights(net.encoder, net.decoder), net.log_likelihood, "torch")
