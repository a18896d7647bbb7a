"""Rows by item key, columns by class name: items and classes are matched here and nowhere else.

Position decides only where there is no key and no name to go by. What does not match is an
`InputError` that names the first offender.
"""

from softfold.align.checked import align_checked as align_checked
from softfold.align.frames import as_frame as as_frame
from softfold.align.inputs import Aligned as Aligned
from softfold.align.inputs import HasGiven as HasGiven
from softfold.align.inputs import RowsDoubted as RowsDoubted
from softfold.align.inputs import align_predictions as align_predictions
from softfold.align.inputs import align_second as align_second
from softfold.align.inputs import align_targets as align_targets
from softfold.align.inputs import doubt_rows as doubt_rows
from softfold.align.keys import find as find
from softfold.align.keys import match_columns as match_columns
from softfold.align.keys import match_rows as match_rows
from softfold.align.keys import sort_names as sort_names
from softfold.align.keys import take_part as take_part
from softfold.align.matrices import KeyedMatrix as KeyedMatrix
from softfold.align.matrices import numbered as numbered
from softfold.align.several import align_several as align_several
