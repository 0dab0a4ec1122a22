"""The networks of Bastien et al. (2021, 2021MNRAS.503.3351B), their training and the paper's tables."""
