__version__ = "0.6.0"  # the workspace's; a test compares them
