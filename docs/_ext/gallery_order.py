"""The order of the examples: the dial first, a whole case last."""

ORDER = (
    "two_models",
    "four_hospitals",
    "how_many_rows",
    "how_strong",
    "should_these_be_tied",
    "transfer",
    "schools",
    "update_batch_by_batch",
    "few_labels",
    "left_right_features",
    "receptive_field",
    "shared_conv",
    "dial_local_to_shared",
    "case_heart",
)


class StoryKey:
    """Sort key of Sphinx-Gallery for the names of files; new examples come last."""

    def __init__(self, source_dir):
        self.source_dir = source_dir

    def __call__(self, filename):
        """Return the place of an example."""
        name = filename.removeprefix("plot_").removesuffix(".py")
        return (ORDER.index(name) if name in ORDER else len(ORDER), name)
