"""`python -m softfold` is `softfold`."""

from softfold.cli import main

if __name__ == "__main__":
    main()
