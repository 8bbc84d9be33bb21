public import Data
public import Models
public import NN
public import Torch

/// What a training run does, from its model to its last stage; see `Recipes/` for examples.
///
/// Read from YAML. Paths are relative to the recipe's folder, except `output`, which is relative to the working
/// directory. Published recipes name things that not every machine can do; what `omma train` does not do it refuses, see
/// `unsupported`.
public struct Recipe: Sendable, Equatable {
    public var name: String
    public var model: Model
    public var seed: UInt64
    /// The type that forward and backward passes compute in. Master weights and moments are always float32.
    public var precision: Precision
    /// Folder that the run writes: checkpoints, `latest`, logs.
    public var output: String
    /// Checkpoints to keep, the newest ones.
    public var keep: Int
    /// Threads that prepare samples ahead of the computation.
    public var workers: Int
    /// Micro-batches computed at the same time, each by one thread. Speed depends on it, results do not.
    public var threads: Int
    /// What weights lie on and passes compute on. Of several ranks each takes a GPU of its own, from this one on.
    public var device = Device.cpu
    /// What each of several ranks holds a share of; nil where the recipe does not say.
    public var sharding: ShardingKind?
    /// How ranks divide the model itself among themselves.
    public var parallel = Parallel()
    /// Steps in a row with a loss or gradient that is not finite before the run stops.
    public var maxSkippedSteps: Int
    /// The part of samples that may be unusable before the run stops.
    public var maxSkippedSamples: Double
    /// Seconds that a sample may take to be read before it is left out: a disk may hang.
    public var sampleTimeout: Double
    /// The least share of the text to learn from in the first batch.
    public var minSupervised: Double
    /// What `evaluate_every` measures on.
    public var heldOut: HeldOut?
    /// How several finished runs become one model; nil where each is a model of its own.
    public var soup: SoupSelection?
    /// What an encoder without a language model learns by; nil in recipes of language models.
    public var objective: Objective?
    public var stages: [Stage]

    public struct Objective: Sendable, Equatable {
        public enum Kind: String, Sendable, CaseIterable {
            /// Classes of what pictures show, each a yes-or-no question (NaViT, section 3.1).
            case classification
            /// Pictures and their captions find each other (CLIP, SigLIP).
            case contrastive
            /// Patches are told from those before them (AIM).
            case autoregressive
        }

        /// How pictures and captions are told from the others of their batch.
        public enum Contrast: String, Sendable, CaseIterable {
            /// One choice among all (CLIP).
            case softmax
            /// A yes-or-no question for each pair (SigLIP).
            case sigmoid
        }

        /// What pictures and captions are told from.
        public enum Negatives: String, Sendable, CaseIterable {
            /// All others of the step, of every micro-batch and rank: each is computed twice, without its graph and with it.
            case step
            /// Those of their micro-batch.
            case microBatch = "micro_batch"
        }

        public var kind: Kind
        /// Of a contrastive objective; nil takes the model's own.
        public var contrast: Contrast?
        /// Of a contrastive objective.
        public var negatives = Negatives.step
        /// The sizes that pictures are seen at, where classes are learned.
        public var resolution = ResolutionSampling()
        /// Patches that are left out while classes are learned.
        public var dropping = TokenDropping.constant(0)
    }

    /// Which models a soup takes (Wortsman et al. 2022; POINTS, section 3.3).
    public enum SoupSelection: String, Sendable, CaseIterable {
        /// The mean of all.
        case uniform
        /// Best first, each kept only if the mean does not become worse.
        case greedy
    }

    public enum Precision: String, Sendable, CaseIterable {
        case f32, bf16

        public var dtype: DType { self == .f32 ? .float32 : .bfloat16 }
    }

    public struct Model: Sendable, Equatable {
        public var start: Start
        /// A folder whose `vocab.json` and `merges.txt` the model takes, for models that differ in their special tokens
        /// only; nil where the model's own folder has a whole tokenizer.
        public var vocabulary: String?
        /// Fields of the folder's `config.json` to replace, with objects merged field by field; for models that start at
        /// random.
        public var configuration: JSONValue?
        /// Limits of a picture's size in pixels; those of the folder's `preprocessor_config.json` where not named.
        public var minPixels: Int?
        public var maxPixels: Int?

        public enum Start: Sendable, Equatable {
            /// A folder in Hugging Face layout, with its weights.
            case checkpoint(String)
            /// A folder in the same layout without weights: they start at random.
            case random(String)
            /// A published size by its name, for plans: no weights, no tokenizer.
            case preset(String)
        }

        /// The folder with the configuration, the tokenizer and what else belongs to a model beside its weights.
        public var folder: String {
            switch start {
            case .checkpoint(let path), .random(let path): path
            case .preset(let name): name
            }
        }
    }

    public struct Stage: Sendable, Equatable {
        public var name: String
        /// What learns: names of parts (`tower`, `merger`, `embedding`, `decoder`, `head`, `all`) or patterns of
        /// parameter names (`model.layers.0.*`), and of what does not after all with a `!` before it. All else is frozen.
        public var train: [String]
        /// Low-rank adapters that learn instead, over linear layers that stay as they are.
        public var lora: LowRank?
        public var optimizer: OptimizerKind
        /// Not yet known where `rateRule` is one: see `resolveRates`.
        public var learningRate: Double
        /// How the rate follows from the model; nil where the recipe has a number.
        public var rateRule: LearningRateRule?
        /// For a part (`tower`, `decoder`), the factor of the rate from each layer to the one before it.
        public var layerDecay: [Multiple]
        /// Factors of the learning rate by the same kind of pattern; the last that fits counts.
        public var multiples: [Multiple]
        /// Not applied to norms and biases.
        public var weightDecay: Double
        public var beta1: Double
        public var beta2: Double
        public var epsilon: Double
        public var schedule: LearningRateSchedule
        public var steps: Int
        public var batch: Batch
        public var memory: Memory
        /// Limit of the gradients' global norm; none if nil.
        public var clip: Double?
        /// Steps whose loss lies more than so many standard deviations above that of the steps before are skipped; nil
        /// skips none.
        public var skipSpikes: Double?
        public var data: [Source]
        /// Also teaches the features of pictures what stands where; only where the data knows.
        public var regions: Regions?
        /// How large pictures are in this stage; nil leaves the model's choice.
        public var pictures: Pictures?
        public var loss: Loss
        /// Residual branches left out at random in the blocks of tower and decoder.
        public var dropPath: DropPath
        /// Of the weights that learn; nil where no mean is kept.
        public var average: ExponentialAverage?
        /// What the authors measured, for `omma plan` and `omma check` to compare with.
        public var expect: Expectation?
        public var checkpointEvery: Int
        public var logEvery: Int
        /// Steps between evaluations on `held_out` samples; 0 for none.
        public var evaluateEvery: Int
    }

    public struct LowRank: Sendable, Equatable {
        public var settings: LowRankAdapters.Settings
        /// Parts or patterns, as in `train`, whose linear layers get an adapter; where empty, all but the head's.
        public var on: [String]
        /// 4 where the blocks' matrices below the adapters are held in so many bits (QLoRA); nil holds them as they are.
        public var baseBits: Int?
    }

    /// An auxiliary loss at every place of a picture, see `RegionHeads`.
    public struct Regions: Sendable, Equatable {
        /// Of the loss for each place that shows something, beside the loss of the answers' tokens.
        public var weight: Double
        /// Layers of the decoder before the places' coordinates are told; half of all if nil.
        public var layer: Int?
        /// Whether answers are learned too; if not, pictures go through the vision part only, which is quicker.
        public var answers: Bool
        /// Of the loss that tells the decoder's attention where to look for each answer, see `RegionHeads`; 0 leaves it
        /// alone.
        public var look = 0.0
    }

    public enum OptimizerKind: String, Sendable, CaseIterable {
        case adamw
        /// Without momentum, and with means of squared gradients for rows and columns only; see `FactoredMoments`.
        case adafactor
        /// One moment for matrices but embedding and head, whose steps are made orthogonal, and AdamW for the rest; see
        /// `OrthogonalMomentum`.
        case muon
    }

    /// Limits of pictures in one stage, within what the model's policy can do.
    public struct Pictures: Sendable, Equatable {
        public var minPixels: Int?
        public var maxPixels: Int?
        /// Tiles without the thumbnail.
        public var maxTiles: Int?
        /// The side to which all pictures are resized, in pixels.
        public var side: Int?
    }

    public struct Loss: Sendable, Equatable {
        public var weighting: LossWeighting = .token
        /// The weight of the squared log-sum-exp of each supervised token's scores, beside its negative log likelihood.
        public var z = 0.0
    }

    /// A mean of weights over the steps of a stage in which each step before counts `decay` times as much (Polyak and
    /// Juditsky 1992, with the weights of Tarvainen and Valpola 2017).
    public struct ExponentialAverage: Sendable, Equatable {
        public var decay: Double
    }

    /// What a row of a batch holds on average, and what the published run took.
    public struct Expectation: Sendable, Equatable {
        public var samples: Double?
        public var tokens: Double?
        public var supervised: Double?
        public var pictures: Double?
        /// Without class tokens.
        public var patches: Double?
        public var published: PublishedSpeed?
    }

    /// A published speed or duration, of the model that it was published for.
    public struct PublishedSpeed: Sendable, Equatable {
        /// The name of the preset.
        public var model: String
        public var device: String
        public var devices: Int
        public var samplesPerSecond: Double?
        /// Hours of one device.
        public var deviceHours: Double?
        public var source: String
    }

    public struct Multiple: Sendable, Equatable {
        public var pattern: String
        public var factor: Double
    }

    /// How much goes into one step.
    public struct Batch: Sendable, Equatable {
        /// Tokens of the decoder in one packed micro-batch, at most.
        public var tokens: Int
        /// Patches of the tower in one packed micro-batch, at most.
        public var maxPatches: Int?
        /// Samples in one packed micro-batch, at most.
        public var maxSamples: Int?
        /// Micro-batches whose gradients make one step.
        public var accumulation: Int
        /// Samples that wait to be packed; more of them fill batches better.
        public var lookAhead: Int
    }

    public struct Source: Sendable, Equatable {
        public var kind: Kind
        /// How often samples are drawn from here, relative to the other sources.
        public var weight: Double
        /// Whether noise stands in for every picture, as a model without eyes would have it.
        public var isBlind = false
        /// The share of samples to keep, those whose text surprises a model least; nil keeps all (POINTS, section 3.2).
        public var lowestPerplexity: Double?

        public enum Kind: Sendable, Equatable {
            /// What a published recipe says; a user's catalogue says where it lies.
            case role(String)
            /// - Parameter spells: whether answers that repeat what is written are learned a character a token.
            case synthetic(SyntheticOptions, spells: Bool)
            /// A file of conversations, and the folder that its pictures' names start from.
            case messages(file: String, images: String, unmarked: UnmarkedPictures)
        }
    }

    public struct HeldOut: Sendable, Equatable {
        public var samples: Int
        public var data: [Source]
        /// Whether the same samples are measured with noise in place of their pictures, too.
        public var comparesBlind = false
    }

    /// How the loss of a batch weighs its tokens.
    public enum LossWeighting: String, Sendable, CaseIterable {
        /// All alike.
        case token
        /// The supervised tokens of a sample share its weight of 1.
        case sample
        /// Each of the `n` supervised tokens of a sample weighs `1 / √n` (InternVL 2.5, section 3.3).
        case squareRoot = "square_root"
    }

    /// Steps of all stages together.
    public var steps: Int { stages.reduce(0) { $0 + $1.steps } }
}
