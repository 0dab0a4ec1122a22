"""The data behind the priors: counts, sizes, class mixes, spectra and surveys.

In an installed package these files are `skygal.catalogs`; each says its units, source and licence in
its header.
"""
