"""Methods that DITTO is compared with, one file each."""
