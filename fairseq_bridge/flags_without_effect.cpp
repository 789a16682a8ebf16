#include "fairseq_bridge/flag_policy.hpp"

namespace elbeam::fairseq {
namespace {

// Options of training, of other models and of logging services; options that only act together with
// one that is not built; and those that fairseq-generate parses and never reads (--beam-mt
// ...).
// clang-format off
constexpr std::string_view kNoEffect[] = {
    "--activation-dropout", "--activation-fn", "--adadelta-eps", "--adadelta-rho",
    "--adafactor-eps", "--adam-betas", "--adam-eps", "--adamax-betas", "--adamax-eps",
    "--adp-act-fn", "--adp-dim", "--adp-num", "--adp-trf-idx", "--aim-repo", "--aim-run-hash",
    "--alignment-lambda", "--all-gather-list-size", "--amp", "--amp-batch-retries",
    "--amp-init-scale", "--amp-scale-window", "--anneal-eps", "--arch", "--attention-dropout",
    "--attn-type", "--azureml-logging", "--batch-size-valid", "--bce-pos-weight", "--beam-mt",
    "--best-checkpoint-metric", "--beta1", "--bf16", "--broadcast-buffers", "--bucket-cap-mb",
    "--can-sum", "--checkpoint-activations", "--classification-head-name", "--clip-threshold",
    "--codebook-negatives", "--combine-valid-subsets", "--continue-once", "--conv-bias",
    "--conv-feature-layers", "--conv-pos", "--conv-pos-groups", "--cpu-offload", "--criterion",
    "--crop-seq-to-multiple", "--cross-sample-negatives", "--ctc-weight", "--curriculum",
    "--data-buffer-size", "--ddp-backend", "--ddp-comm-hook", "--decay-rate", "--decay-steps",
    "--decoding-format", "--depthwise-conv-kernel-size", "--device-id", "--disable-validation",
    "--distributed-backend", "--distributed-init-method", "--distributed-no-spawn",
    "--distributed-num-procs", "--distributed-port", "--dropout", "--dropout-features",
    "--dropout-input", "--duration-loss-weight", "--dynamic-groups", "--edge-unit-loss-weight",
    "--empty-cache-freq", "--enable-reservsed-directions-shared-datasets",
    "--encoder-attention-heads", "--encoder-embed-dim", "--encoder-ffn-embed-dim",
    "--encoder-layerdrop", "--encoder-layers", "--end-learning-rate", "--eos", "--eos-token",
    "--epoch2lr", "--eval-bleu", "--eval-bleu-args", "--eval-bleu-detok", "--eval-bleu-detok-args",
    "--eval-bleu-print-samples", "--eval-bleu-remove-bpe", "--eval-tokenized-bleu", "--extra-data",
    "--extra-lang-pairs", "--extractor-mode", "--fast-stat-sync", "--feature-grad-mult",
    "--final-dim", "--final-lr-scale", "--find-unused-parameters", "--finetune-from-model",
    "--fix-batches-to-gpus", "--fixed-validation-seed", "--force-anneal", "--fp16-adam-stats",
    "--fp16-init-scale", "--fp16-no-flatten-grads", "--fp16-scale-tolerance", "--fp16-scale-window",
    "--fp32-reduce-scatter", "--general-unit-loss-weight", "--gradient-as-bucket-view",
    "--grouped-shuffling", "--groups", "--guided-attention-loss-sigma", "--heartbeat-timeout",
    "--hold-steps", "--ignore-prefix-size", "--ignore-unused-valid-subsets", "--infonce",
    "--init-lr-scale", "--iter-decode-eos-penalty", "--iter-decode-force-max-iter",
    "--iter-decode-max-iter", "--iter-decode-with-beam", "--iter-decode-with-external-reranker",
    "--keep-best-checkpoints", "--keep-interval-updates", "--keep-interval-updates-pattern",
    "--keep-last-epochs", "--label-smoothing", "--lamb-betas", "--lamb-eps", "--latency-avg-type",
    "--latency-avg-weight", "--latency-gather-method", "--latency-update-after",
    "--latency-var-type", "--latency-var-weight", "--latent-dim", "--latent-groups",
    "--latent-temp", "--latent-vars", "--layer-norm-first", "--layer-type", "--lenpen-mt",
    "--load-alignments", "--load-checkpoint-on-all-dp-ranks", "--localsgd-frequency", "--log-file",
    "--log-interval", "--log-keys", "--logit-temp", "--loss-weights", "--lr", "--lr-deacy-period",
    "--lr-decay", "--lr-patience", "--lr-period-updates", "--lr-scheduler", "--lr-shrink",
    "--lr-threshold", "--main-and-cross-weights", "--mask-channel-before", "--mask-channel-length",
    "--mask-channel-min-space", "--mask-channel-other", "--mask-channel-prob",
    "--mask-channel-selection", "--mask-dropout", "--mask-length", "--mask-min-space",
    "--mask-other", "--mask-prob", "--mask-selection", "--masked-lm-only", "--max-len-a-mt",
    "--max-len-b-mt", "--max-lr", "--max-positions", "--max-tokens-valid", "--max-valid-steps",
    "--maximize-best-checkpoint-metric", "--memory-efficient-bf16", "--min-loss-scale", "--min-lr",
    "--model-parallel-size", "--momentum", "--negatives-from-everywhere", "--no-beamable-mm",
    "--no-bias-correction", "--no-early-stop", "--no-epoch-checkpoints", "--no-last-checkpoints",
    "--no-mask-channel-overlap", "--no-mask-overlap", "--no-reshard-after-forward", "--no-save",
    "--no-save-optimizer-state", "--no-seed-provided", "--not-fsdp-flatten-parameters",
    "--nprocs-per-node", "--nsp-loss-weight", "--num-negatives", "--num-workers",
    "--on-cpu-convert-precision", "--optimizer", "--optimizer-overrides", "--pad", "--patience",
    "--phase-ratio", "--pipeline-balance", "--pipeline-checkpoint", "--pipeline-chunks",
    "--pipeline-decoder-balance", "--pipeline-decoder-devices", "--pipeline-devices",
    "--pipeline-encoder-balance", "--pipeline-encoder-devices", "--pipeline-model-parallel",
    "--plasma-path", "--pos-conv-depth", "--pos-enc-type", "--power", "--pred-masked-weight",
    "--pred-nomask-weight", "--profile", "--quantization-config-path", "--quantize-input",
    "--quantize-targets", "--quantizer-depth", "--quantizer-factor", "--ranking-head-name",
    "--rdrop-alpha", "--regression-target", "--relative-step", "--report-acc-and-f1",
    "--report-accuracy", "--report-mcc", "--report-pearson-and-spearman", "--require-same-masks",
    "--reset-dataloader", "--reset-logging", "--reset-lr-scheduler", "--reset-meters",
    "--reset-optimizer", "--restore-file", "--retain-dropout-modules", "--same-quantizer",
    "--sampling-method", "--sampling-temperature", "--sampling-weights",
    "--sampling-weights-from-file", "--save-dir", "--save-interval", "--save-interval-updates",
    "--save-predictions", "--scale-parameter", "--sentencepiece-alpha",
    "--sentencepiece-enable-sampling", "--shrink-min", "--slowmo-base-algorithm",
    "--slowmo-momentum", "--suppress-crashes", "--t-mult", "--target-glu", "--tensorboard-logdir",
    "--threshold-loss-scale", "--total-num-update", "--tpu", "--train-subset",
    "--underlying-criterion", "--unk", "--update-epoch-batch-itr", "--update-ordered-indices-seed",
    "--update2lr", "--upsample-primary", "--use-guided-attention-loss", "--use-old-adam",
    "--use-plasma-view", "--use-sharded-state", "--valid-subset", "--validate-after-updates",
    "--validate-interval", "--validate-interval-updates", "--virtual-data-size",
    "--virtual-epoch-size", "--wandb-project", "--warmup-init", "--warmup-init-lr",
    "--warmup-steps", "--warmup-updates", "--weight-decay", "--wer-args", "--wer-kenlm-model",
    "--wer-lexicon", "--wer-lm-weight", "--wer-sil-weight", "--wer-word-score",
    "--write-checkpoints-asynchronously", "--zero-infinity", "--zero-sharding",
};
// clang-format on

}  // namespace

std::span<const std::string_view> flags_without_effect() noexcept { return kNoEffect; }

}  // namespace elbeam::fairseq
