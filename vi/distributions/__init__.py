"""What torch.distributions lacks, and the abstract roles of the parts."""
