"""What changes experiments or takes something out of them: create, export, archive, clean, rename."""
