"""`python -m simulator`: the command line, nothing else."""

from simulator.cli.app import main

if __name__ == "__main__":
    main()
