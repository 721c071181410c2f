"""The settings of the program with the migrations of a later version; NEWER says which."""

import os

from openchargeback.settings import *  # noqa: F403 (the settings as they are)
from openchargeback.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.stories.newer"]
MIGRATION_MODULES = {"newer": f"tests.stories.newer.{os.environ['NEWER']}"}
