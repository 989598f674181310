"""Are the p-values of `compatibility_test` uniform where the hypothesis is true?

Every design has the same coefficients in all domains, 20 (p + 1) rows in each domain,
standard normal features, and an intercept; 2000 data sets are drawn. For each statistic
(what the test decides by, which is the likelihood ratio with Bartlett's correction; the
plain likelihood ratio; the score) and each hypothesis (all coefficients; each of them)
a cell holds the distance of Kolmogorov and Smirnov to uniform with its p-value, and the
shares of p-values below 5 % and 1 %, with standard errors.

Rules: the goal is that for what decides no distance of Kolmogorov and Smirnov is
significant at 1 %, by Bonferroni over the hypotheses of the design. With 2000 data sets
a distance of 0.036 alone is significant at 1 %.
"""

from __future__ import annotations

import sys

import numpy as np
from _cells import Study, main
from scipy.stats import chi2, kstest

from sktie import TiedLogisticRegression
from sktie.inspection import compatibility_test

QUESTION = "Are p-values of the compatibility of domains uniform under the hypothesis?"
N_SIMULATIONS = 2000
ROWS_PER_COEF = 20
#: Domains, features, classes, and whether the intercept is tied.
DESIGNS = {
    "T=2 p=4": (2, 4, 2, True),
    "T=8 p=3": (8, 3, 2, True),
    "T=3 p=3 classes=3": (3, 3, 3, True),
    "T=4 p=2 free intercept": (4, 2, 2, False),
}
STATISTICS = ("pvalue", "plain likelihood ratio", "score")


def draw(key, rng):
    """Rows of domains with the same coefficients."""
    n_domains, n_features, n_classes, tied = DESIGNS[key]
    n = ROWS_PER_COEF * (n_features + 1)
    domain = np.repeat(np.arange(n_domains), n)
    X = rng.normal(size=(len(domain), n_features))
    coef = 0.7 * rng.normal(size=(n_classes, n_features))
    intercept = 0.4 * rng.normal(size=(n_classes if tied else (n_domains, n_classes)))
    raw = X @ coef.T + (intercept if tied else intercept[domain])
    return X, np.argmax(raw + rng.gumbel(size=raw.shape), axis=1), domain


def measure(key, quick, known):
    """One design: p-values of all hypotheses, and how uniform they are."""
    rng = np.random.default_rng(list(DESIGNS).index(key))
    model = TiedLogisticRegression(tie_intercept=DESIGNS[key][-1], n_jobs=1)
    found, methods = {}, {}
    for _ in range(20 if quick else N_SIMULATIONS):
        X, y, domain = draw(key, rng)
        report = compatibility_test(
            model, X, y, sample_domain=domain, n_bootstrap=99, random_state=0
        )
        for row in (report.overall, *report.coefficients):
            ratio = chi2.sf(row.likelihood_ratio, row.df)
            values = row.pvalue, ratio, row.score_pvalue
            methods[row.method] = methods.get(row.method, 0) + 1
            for name, value in zip(STATISTICS, values, strict=True):
                found.setdefault(name, {}).setdefault(row.coefficient, []).append(value)
    return {
        "methods": methods,
        **{
            name: {coefficient: uniform(v) for coefficient, v in values.items()}
            for name, values in found.items()
        },
    }


def uniform(pvalues):
    """How far p-values are from uniform."""
    p = np.array(pvalues)
    p = p[~np.isnan(p)]
    test = kstest(p, "uniform")
    shares = {}
    for level in (0.05, 0.01):
        share = float(np.mean(p < level))
        error = float(np.sqrt(level * (1 - level) / len(p)))
        shares[f"{level:.0%}"] = {"share": round(share, 5), "error": round(error, 5)}
    distance = round(float(test.statistic), 4)
    return {"n": len(p), "distance": distance, "p": float(test.pvalue), **shares}


def keys(quick):
    """All designs."""
    return [list(DESIGNS)]


def summarise(cells):
    """For each design and statistic: all coefficients, and the worst and the mean."""
    summary = {}
    for key, cell in cells.items():
        rows = {}
        for name in STATISTICS:
            found = dict(cell[name])
            overall = found.pop("all")
            rows[name] = {
                "distance": overall["distance"],
                "p": overall["p"],
                "5%": overall["5%"]["share"],
                "1%": overall["1%"]["share"],
                "coefficients": len(found),
                "largest distance": max(v["distance"] for v in found.values()),
                "smallest p": min(v["p"] for v in found.values()),
                "mean 5%": mean_share(found, "5%"),
                "mean 1%": mean_share(found, "1%"),
            }
        worst = min(rows["pvalue"]["p"], rows["pvalue"]["smallest p"])
        n_tests = 1 + rows["pvalue"]["coefficients"]
        summary[key] = {**rows, "uniform": bool(n_tests * worst > 0.01)}
    return summary


def mean_share(found, level):
    """The mean share over coefficients."""
    return round(float(np.mean([value[level]["share"] for value in found.values()])), 5)


def show(summary):
    """Print the table."""
    for key, rows in summary.items():
        print(f"\n{key}: uniform {rows['uniform']}")
        for name in STATISTICS:
            row = rows[name]
            print(
                f"  {name:24} all: KS {row['distance']:.3f} (p {row['p']:.3f})"
                f" 5% {row['5%']:.4f} 1% {row['1%']:.4f} | coefficients: KS to"
                f" {row['largest distance']:.3f} (p from {row['smallest p']:.3f})"
                f" 5% {row['mean 5%']:.4f} 1% {row['mean 1%']:.4f}"
            )


STUDY = Study(
    "compatibility",
    QUESTION,
    {
        "simulations": N_SIMULATIONS,
        "rows for each coefficient": ROWS_PER_COEF,
        "designs": {key: list(value) for key, value in DESIGNS.items()},
    },
    keys,
    measure,
    summarise,
    show,
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
