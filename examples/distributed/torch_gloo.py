"""Fit a curve on several processes with torch.distributed: the Trial of torch-gloo.yaml.

Each process holds its share of the points; gradients are averaged every step (all-reduce), so all keep the same
network, which they make sure of at the end.
"""

import argparse

import torch
import torch.distributed as dist


def main() -> None:
    """Meet the other processes, train, report the loss over all points."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--steps", type=int, default=100)
    args = parser.parse_args()
    dist.init_process_group("gloo")  # by MASTER_ADDR, MASTER_PORT, RANK and WORLD_SIZE
    rank, count = dist.get_rank(), dist.get_world_size()
    print(f"process {rank} of {count}", flush=True)

    torch.manual_seed(1)  # the same network everywhere
    network = torch.nn.Sequential(torch.nn.Linear(1, args.width), torch.nn.Tanh(), torch.nn.Linear(args.width, 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=args.lr)
    points = torch.linspace(-3, 3, 240)[rank::count].unsqueeze(1)
    wanted = torch.sin(2 * points)
    for step in range(1, args.steps + 1):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(network(points), wanted)
        loss.backward()
        for parameter in network.parameters():
            dist.all_reduce(parameter.grad)
            parameter.grad /= count
        optimizer.step()
        if step % 20 == 0:
            total = loss.detach().clone()
            dist.all_reduce(total)
            print(f"loss={total.item() / count:.6f}", flush=True)

    flat = torch.nn.utils.parameters_to_vector(network.parameters()).detach()
    parts = [torch.zeros_like(flat) for _ in range(count)]
    dist.all_gather(parts, flat)
    assert all(torch.equal(part, flat) for part in parts), "the processes have come apart"
    print(f"network checksum {flat.double().sum().item():.9f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
