"""A loop written by hand, data resident, default Adam."""

import torch
from _common import BATCH, EPOCHS, RATE, Stopwatch, finish, train_grey
from _net import Net, weights

torch.manual_seed(0)
data = torch.from_numpy(train_grey()).float() / 255
net = Net()
optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
watch = Stopwatch(len(data) // BATCH)
for _ in range(EPOCHS):
    for index in torch.randperm(len(data)).split(BATCH):
        loss = net.loss(torch.bernoulli(data[index]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch.step()
finish(watch, weights(net.encoder, net.decoder), net.log_likelihood, "torch")
