"""Parameter tying and parameter sharing with scikit-learn's interface.

One dial, ``tie``, from 0 (separate parameters) through finite strengths (parameters
close to one another) to infinity (one shared parameter).
"""

from sktie._tie import tying_penalty
from sktie.linear_model import TiedLogisticRegression

__version__ = "0.1.0"

__all__ = ["TiedLogisticRegression", "__version__", "tying_penalty"]
