# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an account may be called. The command cannot import the collection at its start: it has a link to this file."""

from __future__ import annotations

import re

#: In every back end and wherever a person names one. It is no option of a command and no relative path.
ACCOUNT_NAME = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9._+-]{0,79}\Z")
#: The same in words.
ACCOUNT_CHARACTERS = "letters, digits and . _ + -, at most 80, beginning with a letter, a digit, _ or +"
