#!/usr/bin/env python3
"""Run the cases of tests/faults on the lab and print what became of them: ``make faults``."""

import sys

from trials.command import main

sys.exit(main())
