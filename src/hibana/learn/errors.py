"""Errors of the learning modules."""

from __future__ import annotations

from hibana.core.errors import declare

NO_TABLE = declare(
    260,
    "no table to learn from",
    "Name a Parquet or CSV file, or the folder of an export (hibana export TABLE -o FOLDER).",
)
NO_COLUMN = declare(
    261,
    "the table has no such column",
    "Choose one of the columns it has; dictionary.json or the first line of the file lists them.",
)
TOO_FEW_ROWS = declare(
    262,
    "too few rows to learn from",
    "Export more materials, keep flagged rows (--include-flagged), or ask for fewer folds or groups.",
)
NO_STRUCTURES = declare(
    263,
    "the table has no structures beside it",
    "Put structures.jsonl.gz into the folder of the table; hibana export writes it.",
)
NO_LEARN_EXTRA = declare(
    264,
    "a package of the extra `learn` is missing",
    "Install it with: pip install 'hibana[learn]'",
)
FEATURES_DIFFER = declare(
    268,
    "the features are not those the model was fitted on",
    "Compute the features anew with the version of the dictionary that the model names, or fit the model again.",
)
UNREADABLE_MODEL = declare(
    269,
    "the saved model cannot be used",
    "Fit it again from its table: result.json beside it holds the table's identity and every parameter.",
)
UNFIT_TARGET = declare(
    270,
    "the target cannot be learned",
    "Choose a numeric column that varies; take the logarithm (--log) of positive values only.",
)
BAD_CONDITION = declare(
    271,
    "the condition on the rows cannot be read",
    "Write it as pandas' DataFrame.query takes it, for example: --where 'charge == 0 and not is_phs'",
)
NO_FEATURES = declare(
    272,
    "there is nothing to learn the target from",
    "Name columns of the table that hold numbers, or a set of features that can be computed for it.",
)
UNREADABLE_FEATURES = declare(
    265,
    "no features of this table",
    "Compute them with: hibana learn features TABLE -o FOLDER",
)
CACHE_UNUSABLE = declare(
    266,
    "the cache of features cannot be used",
    "Name another folder with --cache, or remove the file if it is damaged; it can always be computed again.",
)
UNKNOWN_FEATURES = declare(
    267,
    "these features cannot be made from this table",
    "Choose from composition, elements, structure and site; site needs a column `site_index`.",
)
TOO_MANY_ROWS = declare(
    273,
    "too many rows for this way of clustering",
    "Use --method ward, which needs no distances between all pairs of rows, or choose fewer rows with --where.",
)
UNFIT_AGAINST = declare(
    274,
    "the column to compare the target with cannot be used",
    "Choose a numeric column that varies, other than the target.",
)
UNWRITABLE_RESULTS = declare(
    275,
    "the results cannot be written",
    "Choose another place with -o, or mend the permissions or the free space of this one.",
)
NO_SPECTRA = declare(
    277,
    "the table has no such spectra",
    "Name a column whose cells are lists of numbers, all on one grid and none negative (Parquet), or what numbered columns "
    "begin with.",
)
OTHER_TRAINING = declare(
    278,
    "the folder holds another training that was not finished",
    "Give the options and the table it was started with, name another folder, or start anew with --restart.",
)
NO_DEVICE = declare(
    279,
    "the device cannot be used",
    "Use --device cpu, or --device auto, which takes a GPU where there is one.",
)
BAD_GOAL = declare(
    285,
    "the range that is looked for cannot be used",
    "Give a column with --above, --below or --between; further goals as --and COLUMN:LOW:HIGH, an open end left empty.",
)
BAD_RULE = declare(
    286,
    "the rule for choosing candidates makes no sense",
    "Choose probability (ranges, several goals), improvement or bound (one value, up or down), novelty or random.",
)
NOTHING_TO_REPLAY = declare(
    287,
    "the table cannot be replayed",
    "Widen the range so that some rows meet it and others do not, and take fewer runs than there are rows.",
)
UNREADABLE_DECISIONS = declare(
    288,
    "the log of decisions cannot be read or written",
    "Name another folder with --output; a damaged log can be moved aside, priorities stay as they are.",
)
SEVERAL_ROWS = declare(
    289,
    "the table has several rows of a material",
    "Priorities are those of materials: choose a table with one row of each, or give one as --snapshot.",
)
NO_FORMULAS = declare(
    280,
    "no formulas to make structures of",
    "Give formulas with whole numbers such as SrTiO3, or a CSV file with a column `formula`, as hibana learn generate writes it.",
)
NO_SUCH_VALUE = declare(
    281,
    "compositions cannot be drawn for this value",
    "Ask for a value within the range of the compounds that were learned from.",
)
NO_TEMPLATES = declare(
    282,
    "no template fits",
    "Name a table with more structures; a template has as many atoms of each kind in its formula, whatever the elements are.",
)
UNREADABLE_GENERATOR = declare(
    283,
    "the saved generator cannot be used",
    "Fit it again from its table: result.json beside it holds the table's identity and every parameter.",
)
