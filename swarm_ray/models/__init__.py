"""Models out of an experiment: as a folder that transformers loads, and to the Hugging Face Hub."""
