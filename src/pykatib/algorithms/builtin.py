"""The descriptions of the algorithms that come with pykatib, one entry each.

Only what is ready to use is listed. Nothing here imports an algorithm: `from_module` does so when one is made.
"""

from collections.abc import Sequence

from pykatib.algorithms.checkpoint_setting import CHECKPOINT_SETTING, names_a_folder, states
from pykatib.algorithms.choosing import DEFAULT, PICK, PICK_REASON
from pykatib.algorithms.description import AlgorithmInfo, SettingInfo, Settings, from_module
from pykatib.algorithms.halving.settings import makes_a_ladder, states_its_end, with_room_for_the_resource
from pykatib.algorithms.nas.descriptions import ARCHITECTURE_SEARCHES, CUSTOM_OPERATIONS
from pykatib.algorithms.nas.rules import enas_can_search, searched_by_enas
from pykatib.algorithms.objective_setting import OBJECTIVES, states_its_objectives, states_objectives_if_any
from pykatib.algorithms.problem import Problem
from pykatib.api.errors import FieldError

SOBOL_DIMENSIONS = 21201
RANDOM_STATE = SettingInfo(
    name="random_state",
    kind="int",
    at_least=0,
    help="The seed: the same number gives the same proposals. Without it each Experiment has a seed of its own.",
)


def every_double_has_a_step(problem: Problem, settings: Settings) -> Sequence[FieldError]:
    """A grid can only be counted where every double has a step."""
    return [
        FieldError(
            f"spec.parameters[{index}].feasibleSpace.step",
            f"is needed for the double {parameter.name}: grid search tries every value, without a step there is no end",
        )
        for index, parameter in enumerate(problem.space.parameters)
        if parameter.count is None
    ]


def can_be_counted(problem: Problem, settings: Settings) -> Sequence[FieldError]:
    """A grid needs the number of its points, which are counted out where parameters depend on each other."""
    uncounted = getattr(problem.space, "uncounted", ())
    if not uncounted:
        return ()
    message = (
        f"conditions and constraints tie {', '.join(uncounted)} together, which have more combinations than grid "
        "search counts out; give them fewer values or take another algorithm"
    )
    return (FieldError("spec.parameters", message),)


def has_parameters(problem: Problem, settings: Settings) -> Sequence[FieldError]:
    """Without a parameter there is nothing to search."""
    if len(problem.space) > 0:
        return ()
    return (FieldError("spec.parameters", "needs at least one parameter"),)


def fits_sobol(problem: Problem, settings: Settings) -> Sequence[FieldError]:
    """Direction numbers are known up to a number of dimensions."""
    if len(problem.space) <= SOBOL_DIMENSIONS:
        return ()
    return (
        FieldError("spec.parameters", f"sobol takes up to {SOBOL_DIMENSIONS} parameters, found {len(problem.space)}"),
    )


def one_number_of_candidates(problem: Problem, settings: Settings) -> Sequence[FieldError]:
    """Katib's two services for TPE spell this setting differently; both spellings at once could disagree."""
    if settings["n_EI_candidates"] is None or settings["n_ei_candidates"] is None:
        return ()
    return (
        FieldError(
            "spec.algorithm.algorithmSettings", "n_EI_candidates and n_ei_candidates are the same: state one of them"
        ),
    )


TPE_SETTINGS = (
    RANDOM_STATE,
    SettingInfo(
        name="n_startup_trials",
        kind="int",
        default=10,
        at_least=0,
        help="How many Trials must have ended before results matter; until then points cover the space evenly.",
    ),
    SettingInfo(
        name="n_EI_candidates",
        kind="int",
        at_least=1,
        help="How many points are drawn to choose one from. Without it 24.",
    ),
    SettingInfo(name="n_ei_candidates", kind="int", at_least=1, help="The same as n_EI_candidates."),
    SettingInfo(
        name="gamma",
        kind="float",
        above=0,
        below=1,
        help="Of n Trials the best gamma times the root of n are good. Without it 15 %; 25 at most.",
    ),
    SettingInfo(
        name="prior_weight",
        kind="float",
        default=1.0,
        above=0,
        help="How many Trials the stated distributions weigh as much as.",
    ),
)

RESOURCE_NAME = SettingInfo(
    name="resource_name",
    kind="text",
    help="The parameter that the algorithm sets by itself: how much a Trial is given, such as epochs.",
)
ETA = SettingInfo(
    name="eta",
    kind="float",
    default=3.0,
    above=1,
    help="From level to level the resource grows by this factor, and one configuration in so many goes on.",
)
LEAST_RESOURCE = SettingInfo(
    name="r_min",
    kind="float",
    above=0,
    help="The least of the resource that is worth a Trial. Without it the lower end of the parameter's range.",
)
MOST_RESOURCE = SettingInfo(
    name="r_l",
    kind="float",
    above=0,
    help="All of the resource. Without it the upper end of the parameter's range.",
)
RANDOM_FRACTION = SettingInfo(
    name="random_fraction",
    kind="float",
    at_least=0,
    at_most=1,
    help="Which part of the configurations is random though there is a model. Without it a third.",
)


def _halving_settings(*, proposer: str) -> tuple[SettingInfo, ...]:
    """Those of asha and bohb, which differ in where new configurations come from unless told."""
    return (
        RANDOM_STATE,
        RESOURCE_NAME,
        MOST_RESOURCE,
        LEAST_RESOURCE,
        ETA,
        SettingInfo(
            name="proposer",
            kind="text",
            default=proposer,
            choices=("random", "tpe", "multivariate-tpe", "bayesianoptimization"),
            help="Where new configurations come from: at random, or from that algorithm as a model of the results.",
        ),
        RANDOM_FRACTION,
    )


POPULATION = SettingInfo(
    name="n_population",
    kind="int",
    at_least=5,
    help="How many members train side by side; more where more Trials run at a time.",
)
TRUNCATION = SettingInfo(
    name="truncation_threshold",
    kind="float",
    at_least=0,
    at_most=1,
    help="Which part of the population goes on from the best, and which part those are.",
)


def acquisition_can_be_had(problem: Problem, settings: Settings) -> Sequence[FieldError]:
    """Two of skopt's functions need what a Trial cost, and climbing needs a model with slopes."""
    path = "spec.algorithm.algorithmSettings"
    errors = []
    if settings["acq_func"] in ("EIps", "PIps"):
        plain = str(settings["acq_func"])[:2]
        errors.append(
            FieldError(
                path,
                f"acq_func {settings['acq_func']} weighs improvement against the time of a Trial, which algorithms "
                f"are not told; use {plain} or gp_hedge",
            )
        )
    if settings["acq_optimizer"] == "lbfgs" and settings["base_estimator"] != "GP":
        errors.append(
            FieldError(
                path,
                f"acq_optimizer lbfgs climbs along slopes, which trees ({settings['base_estimator']}) do not have; "
                "use auto or sampling, or base_estimator GP",
            )
        )
    return errors


def has_something_to_evolve(problem: Problem, settings: Settings) -> Sequence[FieldError]:
    """Parameters, or a `nasConfig` as `enas` takes it; and a sample that the population can give."""
    rule = has_parameters if problem.nas_config is None else enas_can_search
    errors = list(rule(problem, settings))
    population, sample = settings["population_size"], settings["sample_size"]
    if isinstance(population, int) and isinstance(sample, int) and sample > population:
        errors.append(
            FieldError(
                "spec.algorithm.algorithmSettings",
                f"sample_size must be at most population_size, found {sample} and {population}",
            )
        )
    return errors


def searched_by_evolution(problem: Problem, settings: Settings) -> Problem:
    """The problem whose space is all architectures, where there is a `nasConfig`."""
    return problem if problem.nas_config is None else searched_by_enas(problem, settings)


BUILTIN: tuple[AlgorithmInfo, ...] = (
    AlgorithmInfo(
        name="random",
        summary="Independent random points of the stated distributions; none twice.",
        create=from_module("pykatib.algorithms.random_search", "RandomSearch"),
        settings=(RANDOM_STATE,),
        rules=(has_parameters,),
        one_by_one=True,
        exhausts=True,
    ),
    AlgorithmInfo(
        name="grid",
        summary="Every combination of the values, in order or shuffled.",
        create=from_module("pykatib.algorithms.grid", "GridSearch"),
        settings=(
            SettingInfo(
                name="random_state",
                kind="int",
                at_least=0,
                help="Shuffles the order with this seed. Without it the last parameter changes fastest.",
            ),
        ),
        rules=(has_parameters, every_double_has_a_step, can_be_counted),
        one_by_one=True,
        exhausts=True,
    ),
    AlgorithmInfo(
        name="sobol",
        summary="A scrambled Sobol sequence: random-looking points that cover the space evenly.",
        create=from_module("pykatib.algorithms.sobol", "SobolSearch"),
        settings=(RANDOM_STATE,),
        rules=(has_parameters, fits_sobol),
        one_by_one=True,
        exhausts=True,
    ),
    AlgorithmInfo(
        name="cmaes",
        summary="CMA-ES: an evolution strategy that learns scales and correlations; for many numeric parameters.",
        create=from_module("pykatib.algorithms.cma_es", "CmaEsSearch"),
        settings=(
            RANDOM_STATE,
            SettingInfo(
                name="sigma",
                kind="float",
                at_least=0,
                help="The first standard deviation, as a share of each range. Without it, or with 0, a sixth.",
            ),
            SettingInfo(
                name="restart_strategy",
                kind="text",
                default="none",
                choices=("none", "None", "ipop", "bipop"),
                help="What to do once the search has converged: go on, or begin anew elsewhere.",
            ),
        ),
        rules=(has_parameters,),
        exhausts=True,
    ),
    AlgorithmInfo(
        name="bayesianoptimization",
        summary="A Gaussian process models the objective; tries where improvement is expected. For few Trials.",
        create=from_module("pykatib.algorithms.bayesian.search", "BayesianOptimization"),
        settings=(
            RANDOM_STATE,
            SettingInfo(
                name="base_estimator",
                kind="text",
                default="GP",
                choices=("GP", "RF", "ET", "GBRT"),
                help="The model: a Gaussian process, a random forest, extremely random trees or boosted trees.",
            ),
            SettingInfo(
                name="n_initial_points",
                kind="int",
                default=10,
                at_least=0,
                help="How many points cover the space before the model is asked.",
            ),
            SettingInfo(
                name="acq_func",
                kind="text",
                default="gp_hedge",
                choices=("gp_hedge", "LCB", "EI", "PI", "EIps", "PIps"),
                help="What is greatest at the next point.",
            ),
            SettingInfo(
                name="acq_optimizer",
                kind="text",
                default="auto",
                choices=("auto", "sampling", "lbfgs"),
                help="How that point is found: the best of many, or climbing from the best of many.",
            ),
        ),
        rules=(has_parameters, acquisition_can_be_had),
        exhausts=True,
    ),
    AlgorithmInfo(
        name="tpe",
        summary="Draws near the best Trials so far, where others are few; looks at each parameter by itself.",
        create=from_module("pykatib.algorithms.tpe", "TPE"),
        settings=TPE_SETTINGS,
        rules=(has_parameters, one_number_of_candidates),
        exhausts=True,
    ),
    AlgorithmInfo(
        name="multivariate-tpe",
        summary="As tpe, looking at all parameters together: at which values go well with which.",
        create=from_module("pykatib.algorithms.tpe", "MultivariateTPE"),
        settings=TPE_SETTINGS,
        rules=(has_parameters, one_number_of_candidates),
        exhausts=True,
    ),
    AlgorithmInfo(
        name="motpe",
        summary="As multivariate-tpe, for several objectives: draws near the Trials that add most hypervolume.",
        create=from_module("pykatib.algorithms.motpe", "MultiObjectiveTPE"),
        settings=(OBJECTIVES, *TPE_SETTINGS),
        rules=(has_parameters, one_number_of_candidates, states_its_objectives),
        exhausts=True,
    ),
    AlgorithmInfo(
        name="nsga2",
        summary="NSGA-II: an evolution towards all the best compromises of several objectives; for many Trials.",
        create=from_module("pykatib.algorithms.nsga2", "NSGA2"),
        settings=(
            OBJECTIVES,
            RANDOM_STATE,
            SettingInfo(
                name="population_size",
                kind="int",
                default=20,
                at_least=2,
                help="How many of the best Trials have children; until so many were proposed, points cover the space.",
            ),
            SettingInfo(
                name="crossover_probability",
                kind="float",
                default=0.9,
                at_least=0,
                at_most=1,
                help="How often a child takes after two Trials instead of one.",
            ),
            SettingInfo(
                name="mutation_probability",
                kind="float",
                at_least=0,
                at_most=1,
                help="How likely each parameter of a child is changed. Without it one in the number of parameters.",
            ),
        ),
        rules=(has_parameters, states_its_objectives),
        exhausts=True,
    ),
    AlgorithmInfo(
        name="hyperband",
        summary="Many configurations get a little of a resource such as epochs, the better ones more; several trades.",
        create=from_module("pykatib.algorithms.halving.hyperband", "Hyperband"),
        settings=(
            RANDOM_STATE,
            RESOURCE_NAME,
            SettingInfo(name="r_l", kind="float", above=0, help="All of the resource: what the best end up with."),
            ETA,
        ),
        rules=(has_parameters, states_its_end, makes_a_ladder),
        searched=with_room_for_the_resource,
    ),
    AlgorithmInfo(
        name="asha",
        summary="Successive halving without waiting: every configuration starts small, one in eta goes on.",
        create=from_module("pykatib.algorithms.halving.asha", "Asha"),
        settings=_halving_settings(proposer="random"),
        rules=(has_parameters, makes_a_ladder),
        searched=with_room_for_the_resource,
    ),
    AlgorithmInfo(
        name="bohb",
        summary="Hyperband whose configurations come from a model of the results so far.",
        create=from_module("pykatib.algorithms.halving.bohb", "Bohb"),
        settings=_halving_settings(proposer="multivariate-tpe"),
        rules=(has_parameters, makes_a_ladder),
        searched=with_room_for_the_resource,
    ),
    AlgorithmInfo(
        name="pbt",
        summary="Trials continue each other's checkpoints with changed hyperparameters; the worst copy the best.",
        create=from_module("pykatib.algorithms.pbt", "PopulationBasedTraining"),
        settings=(
            RANDOM_STATE,
            CHECKPOINT_SETTING,
            POPULATION,
            TRUNCATION,
            SettingInfo(
                name="resample_probability",
                kind="float",
                at_least=0,
                at_most=1,
                help="How likely a hyperparameter is drawn anew where it would be changed a little. Without it never.",
            ),
        ),
        rules=(has_parameters, states(CHECKPOINT_SETTING, POPULATION, TRUNCATION), names_a_folder),
    ),
    AlgorithmInfo(
        name="regularized-evolution",
        summary="Better ones of the youngest Trials have children that differ in one gene; parameters or a nasConfig.",
        create=from_module("pykatib.algorithms.evolution", "RegularizedEvolution"),
        settings=(
            RANDOM_STATE,
            SettingInfo(
                name="population_size",
                kind="int",
                default=20,
                at_least=2,
                help="How many of the youngest Trials with a result may have children; as many are random at first.",
            ),
            SettingInfo(
                name="sample_size",
                kind="int",
                default=10,
                at_least=1,
                help="How many of these are drawn, of which the best has a child: the more, the greedier.",
            ),
            CUSTOM_OPERATIONS,
        ),
        rules=(has_something_to_evolve,),
        searched=searched_by_evolution,
        exhausts=True,
    ),
    *ARCHITECTURE_SEARCHES,
    AlgorithmInfo(
        name=DEFAULT,
        summary="Another of these, picked by the space, the budget, parallelism and objectives; it says which and why.",
        create=from_module("pykatib.algorithms.default", "create"),
        settings=(
            OBJECTIVES,
            RANDOM_STATE,
            SettingInfo(
                name=PICK,
                kind="text",
                choices=("grid", "sobol", "bayesianoptimization", "cmaes", "multivariate-tpe", "motpe", "nsga2"),
                help="Which algorithm it is; recorded with the first proposals, so that edits change nothing.",
            ),
            SettingInfo(name=PICK_REASON, kind="text", help="Why; recorded with it."),
        ),
        rules=(has_parameters, states_objectives_if_any),
        exhausts=True,
    ),
)
