"""Train a model: ``python train.py [group=option] [name=value]``; ``--help`` lists them."""

from vi.cli.train import main

if __name__ == "__main__":
    main()
