"""Variational inference with an amortised q(z|x).

One way through the house:

    x -- data/ -- networks/ --> q(z|x)  posteriors/ --> z --> networks/ --> p(x|z)  likelihoods/
                                 p(z)   priors/ --------+
    inference/    (model, x) -> q(z|x): amortised, exact, refined
    models/       log p(x,z)                                       log-weights   (K, B)
    bounds/       (model, x) -> Estimate(value, surrogate, terms)  nats/datum    (B,)
    schemes/      which parameters step when
    training/     one Lightning module, callbacks, checkpoints --> logs
    evaluation/   log p(x), and how far the bound is from it

Every class that an option names is a name of this module (``vi.VAE``, ``vi.ELBO``), imported when
it is first used, and so are the roles (``vi.Bound``), the errors, ``fit``, ``load``, ``save``,
``log_likelihood``, ``impute`` and ``as_it_is``. Data sets are names of ``vi.data``.
"""

# ruff: noqa: I001
# Written by `python -m tests.support.stubs`, which a new option asks for.

from vi import auditing as auditing
from vi import bounds as bounds
from vi import cli as cli
from vi import config as config
from vi import covariances as covariances
from vi import data as data
from vi import diagnoses as diagnoses
from vi import diagnostics as diagnostics
from vi import distributions as distributions
from vi import evaluation as evaluation
from vi import fast as fast
from vi import figures as figures
from vi import files as files
from vi import inference as inference
from vi import initializations as initializations
from vi import likelihoods as likelihoods
from vi import models as models
from vi import networks as networks
from vi import optimizers as optimizers
from vi import posteriors as posteriors
from vi import priors as priors
from vi import refinement as refinement
from vi import schemes as schemes
from vi import testing as testing
from vi import training as training
from vi.auditing.audit import Audit as Audit
from vi.auditing.audit import audit as audit
from vi.bounds.base import Bound as Bound
from vi.bounds.base import Estimate as Estimate
from vi.bounds.base import Need as Need
from vi.bounds.beta import Beta as Beta
from vi.bounds.elbo import ELBO as ELBO
from vi.bounds.elbo import EntropyELBO as EntropyELBO
from vi.bounds.elbo import LogWeightELBO as LogWeightELBO
from vi.bounds.elbo_layers import LayeredELBO as LayeredELBO
from vi.bounds.iwae import IWAE as IWAE
from vi.covariances.base import Covariance as Covariance
from vi.covariances.diagonal import Diagonal as Diagonal
from vi.covariances.full import Full as Full
from vi.covariances.spherical import Spherical as Spherical
from vi.diagnoses.base import Diagnosis as Diagnosis
from vi.diagnoses.base import Diagnostic as Diagnostic
from vi.diagnoses.base import Subject as Subject
from vi.diagnoses.calibration import Calibration as Calibration
from vi.diagnoses.latent_use import LatentUse as LatentUse
from vi.diagnoses.linear_probe import LinearProbe as LinearProbe
from vi.diagnoses.predictive_checks import PredictiveChecks as PredictiveChecks
from vi.diagnoses.statistics.base import Statistic as Statistic
from vi.diagnoses.statistics.correlation import CorrelationStatistic as CorrelationStatistic
from vi.diagnoses.statistics.fano_factor import FanoFactorStatistic as FanoFactorStatistic
from vi.diagnoses.statistics.intensity_spread import (
    IntensitySpreadStatistic as IntensitySpreadStatistic,
)
from vi.diagnoses.statistics.maximum import MaximumStatistic as MaximumStatistic
from vi.diagnoses.statistics.mean import MeanStatistic as MeanStatistic
from vi.diagnoses.statistics.quantiles import QuantilesStatistic as QuantilesStatistic
from vi.diagnoses.statistics.standard_deviation import (
    StandardDeviationStatistic as StandardDeviationStatistic,
)
from vi.diagnoses.statistics.zeros import ZerosStatistic as ZerosStatistic
from vi.distributions.conditional import ConditionalDistribution as ConditionalDistribution
from vi.distributions.draw import Points as Points
from vi.distributions.flow import FlowRecipe as FlowRecipe
from vi.distributions.flows.autoregressive import AutoregressiveFlow as AutoregressiveFlow
from vi.distributions.flows.coupling import CouplingFlow as CouplingFlow
from vi.distributions.flows.inverse import InverseFlow as InverseFlow
from vi.distributions.flows.planar import PlanarFlow as PlanarFlow
from vi.distributions.flows.spline import SplineFlow as SplineFlow
from vi.distributions.prior import Prior as Prior
from vi.errors import CheckpointError as CheckpointError
from vi.errors import ConfigurationError as ConfigurationError
from vi.errors import DataError as DataError
from vi.errors import Interrupted as Interrupted
from vi.errors import NumericsError as NumericsError
from vi.errors import RunDirectoryError as RunDirectoryError
from vi.errors import SupportMismatch as SupportMismatch
from vi.errors import ViError as ViError
from vi.evaluation.annealing.annealed_importance_sampling import (
    AnnealedImportanceSampling as AnnealedImportanceSampling,
)
from vi.evaluation.annealing.bidirectional_monte_carlo import (
    BidirectionalMonteCarlo as BidirectionalMonteCarlo,
)
from vi.evaluation.annealing.temperatures import Geometric as Geometric
from vi.evaluation.annealing.temperatures import Sigmoidal as Sigmoidal
from vi.evaluation.annealing.temperatures import Temperatures as Temperatures
from vi.evaluation.base import Evaluation as Evaluation
from vi.evaluation.escalation.escalating import Escalating as Escalating
from vi.evaluation.importance_sampling import ImportanceSampling as ImportanceSampling
from vi.evaluation.imputation import Imputed as Imputed
from vi.evaluation.imputation import impute as impute
from vi.evaluation.inference_gaps import InferenceGaps as InferenceGaps
from vi.evaluation.log_likelihood import LogLikelihood as LogLikelihood
from vi.evaluation.log_likelihood import log_likelihood as log_likelihood
from vi.files.model_files import load as load
from vi.files.model_files import save as save
from vi.inference.amortized import Amortized as Amortized
from vi.inference.base import Inference as Inference
from vi.inference.ensemble import Ensemble as Ensemble
from vi.inference.exact import Exact as Exact
from vi.inference.iterative import Iterative as Iterative
from vi.inference.ladder import LadderInference as LadderInference
from vi.inference.per_datum import PerDatum as PerDatum
from vi.inference.refined import Refined as Refined
from vi.initializations.base import Initialization as Initialization
from vi.initializations.kmeans_plus_plus import KMeansPlusPlus as KMeansPlusPlus
from vi.initializations.random import RandomData as RandomData
from vi.inputs import as_it_is as as_it_is
from vi.likelihoods.bernoulli import Bernoulli as Bernoulli
from vi.likelihoods.beta import BetaLikelihood as BetaLikelihood
from vi.likelihoods.categorical import Categorical as Categorical
from vi.likelihoods.continuous_bernoulli import ContinuousBernoulli as ContinuousBernoulli
from vi.likelihoods.discretised_logistic import DiscretisedLogistic as DiscretisedLogistic
from vi.likelihoods.discretised_logistic_mixture import (
    DiscretisedLogisticMixture as DiscretisedLogisticMixture,
)
from vi.likelihoods.gaussian import FixedScaleGaussian as FixedScaleGaussian
from vi.likelihoods.gaussian import Gaussian as Gaussian
from vi.likelihoods.gaussian import SharedScaleGaussian as SharedScaleGaussian
from vi.likelihoods.laplace import Laplace as Laplace
from vi.likelihoods.laplace import SharedScaleLaplace as SharedScaleLaplace
from vi.likelihoods.negative_binomial import NegativeBinomial as NegativeBinomial
from vi.likelihoods.optimal_scale_gaussian import OptimalScaleGaussian as OptimalScaleGaussian
from vi.likelihoods.poisson import Poisson as Poisson
from vi.likelihoods.student_t import StudentT as StudentT
from vi.likelihoods.table import MixedTable as MixedTable
from vi.likelihoods.zero_inflated_negative_binomial import (
    ZeroInflatedNegativeBinomial as ZeroInflatedNegativeBinomial,
)
from vi.models.base import LatentVariableModel as LatentVariableModel
from vi.models.bernoulli_mixture import BernoulliMixture as BernoulliMixture
from vi.models.exact import ExactModel as ExactModel
from vi.models.factor_analysis import FactorAnalysis as FactorAnalysis
from vi.models.gmm import GMM as GMM
from vi.models.ladder import Ladder as Ladder
from vi.models.poisson_mixture import PoissonMixture as PoissonMixture
from vi.models.ppca import PPCA as PPCA
from vi.models.vae import VAE as VAE
from vi.networks.base import Network as Network
from vi.networks.conv import ConvDecoder as ConvDecoder
from vi.networks.conv import ConvEncoder as ConvEncoder
from vi.networks.gated_conv import GatedConvDecoder as GatedConvDecoder
from vi.networks.gated_conv import GatedConvEncoder as GatedConvEncoder
from vi.networks.gated_mlp import GatedMLP as GatedMLP
from vi.networks.mlp import MLP as MLP
from vi.networks.normalization import GroupNormalization as GroupNormalization
from vi.networks.normalization import NoNormalization as NoNormalization
from vi.networks.normalization import Normalization as Normalization
from vi.networks.residual import ResidualDecoder as ResidualDecoder
from vi.networks.residual import ResidualEncoder as ResidualEncoder
from vi.optimizers.adam import Adam as Adam
from vi.optimizers.adam_w import AdamW as AdamW
from vi.posteriors.bernoulli import BernoulliPosterior as BernoulliPosterior
from vi.posteriors.categorical import CategoricalPosterior as CategoricalPosterior
from vi.posteriors.chain import ChainPosterior as ChainPosterior
from vi.posteriors.diagonal_gaussian import DiagonalGaussian as DiagonalGaussian
from vi.posteriors.diagonal_laplace import DiagonalLaplace as DiagonalLaplace
from vi.posteriors.flow import FlowPosterior as FlowPosterior
from vi.posteriors.full_gaussian import FullGaussian as FullGaussian
from vi.posteriors.gaussian_mixture import GaussianMixturePosterior as GaussianMixturePosterior
from vi.posteriors.gumbel_softmax import GumbelSoftmax as GumbelSoftmax
from vi.posteriors.low_rank_gaussian import LowRankGaussian as LowRankGaussian
from vi.posteriors.relaxed_bernoulli import RelaxedBernoulli as RelaxedBernoulli
from vi.posteriors.von_mises_fisher import VonMisesFisher as VonMisesFisher
from vi.priors.bernoulli import BernoulliPrior as BernoulliPrior
from vi.priors.categorical import CategoricalPrior as CategoricalPrior
from vi.priors.chain import ChainPrior as ChainPrior
from vi.priors.flow import FlowPrior as FlowPrior
from vi.priors.gaussian_mixture import GaussianMixturePrior as GaussianMixturePrior
from vi.priors.standard_normal import StandardNormal as StandardNormal
from vi.priors.uniform_sphere import UniformSphere as UniformSphere
from vi.priors.vamp import VampPrior as VampPrior
from vi.refinement.adam_ascent import AdamAscent as AdamAscent
from vi.refinement.base import Refinement as Refinement
from vi.refinement.gradient_ascent import GradientAscent as GradientAscent
from vi.schemes.aggressive import Aggressive as Aggressive
from vi.schemes.alternating import Alternating as Alternating
from vi.schemes.base import Scheme as Scheme
from vi.schemes.exact_em import ExactEM as ExactEM
from vi.schemes.hard_em import HardEM as HardEM
from vi.schemes.incremental_em import IncrementalEM as IncrementalEM
from vi.schemes.joint import Joint as Joint
from vi.schemes.semi_amortised import SemiAmortised as SemiAmortised
from vi.schemes.stochastic_em import StochasticEM as StochasticEM
from vi.schemes.svi import SVI as SVI
from vi.schemes.wake_sleep import ReweightedWakeSleep as ReweightedWakeSleep
from vi.schemes.wake_sleep import WakeSleep as WakeSleep
from vi.training.callbacks.diagnostics import LatentDiagnostics as LatentDiagnostics
from vi.training.callbacks.early_stopping import EarlyStopping as EarlyStopping
from vi.training.callbacks.gaps import GapCurves as GapCurves
from vi.training.callbacks.ledger import EMLedger as EMLedger
from vi.training.callbacks.pictures import Pictures as Pictures
from vi.training.fit import fit as fit
from vi.training.loggers.csv_curves import CSVCurves as CSVCurves
from vi.training.loggers.tensorboard import TensorBoard as TensorBoard
from vi.training.results.result import FitResult as FitResult
from vi.training.settings import TrainerSettings as TrainerSettings

__version__: str
