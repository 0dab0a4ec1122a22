"""How well a source finder does on a field of which the truth is known."""

from skygal.scoring.detections import list_finder_formats, read_detections
from skygal.scoring.intervals import wilson
from skygal.scoring.masks import average_precision, score_masks
from skygal.scoring.matching import match
from skygal.scoring.records import Curve, Detections, Matches, TruthSet
from skygal.scoring.score import Score, compare_scores
from skygal.scoring.sdc import official_sdc1_score, sdc1_score
from skygal.scoring.truth import read_truth_set

__all__ = [
           "Curve",
           "Detections",
           "Matches",
           "Score",
           "TruthSet",
           "average_precision",
           "compare_scores",
           "list_finder_formats",
           "match",
           "official_sdc1_score",
           "read_detections",
           "read_truth_set",
           "score_masks",
           "sdc1_score",
           "wilson",
]
