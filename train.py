"""Train a model: ``python train.py [group=option] [name=value]``; ``--help`` lists them."""

from vi.cli.interrupts import in_one_line

if __name__ == "__main__":
    with in_one_line():
        from vi.cli.train import main

        main()
