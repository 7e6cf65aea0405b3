"""Learning from examples: classifiers of pixels and objects, and the file in which one is kept.

>>> import numpy as np
>>> from segmentry.learn import classifier
>>> seen = np.array([[0.1, 5.0], [0.2, 4.0], [0.9, 5.0], [0.8, 4.0]], np.float32)
>>> trained = classifier("random_forest", n_trees=10).fit(seen, np.array([0, 0, 1, 1]))
>>> trained.predict(np.array([[0.0, 1.0], [4.5, 4.5]], np.float32)).argmax(axis=0)
array([0, 1])
"""

from segmentry.learn.classifier import Classifier, classifier, kinds
from segmentry.learn.model_file import Model, load_model, save_model

__all__ = ["Classifier", "Model", "classifier", "kinds", "load_model", "save_model"]
