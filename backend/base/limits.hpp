// Every bound that elbeam puts on its input, in one table. A file that exceeds one is refused with
// ErrorCode::kLimit before anything is allocated for it.
#pragma once

#include <cstdint>

namespace elbeam::limits {

inline constexpr std::int64_t kMaxFileBytes = std::int64_t{1} << 42;  // 4 TiB
inline constexpr std::int64_t kMaxZipEntries = 65'536;
inline constexpr std::int64_t kMaxPickleBytes = std::int64_t{256} << 20;  // one pickle stream
// Together at most 64 MiB, however short the pickle. Adam's checkpoint of a model with 5,000
// tensors needs a third.
inline constexpr std::int64_t kMaxPickleObjects = 500'000;   // values it may build
inline constexpr std::int64_t kMaxPicklePushes = 1'500'000;  // references to them
inline constexpr std::int64_t kMaxPickleGlobals = 4'096;     // different ones
inline constexpr int kMaxPickleDepth = 64;                   // nesting of containers
inline constexpr std::int64_t kMaxNameBytes = 512;           // of a tensor, a global
inline constexpr std::int64_t kMaxTensors = 65'536;
inline constexpr int kMaxTensorRank = 8;
inline constexpr std::int64_t kMaxDictionaryBytes = std::int64_t{1} << 30;
inline constexpr std::int64_t kMaxDictionaryEntries = 16'000'000;
inline constexpr std::int64_t kMaxConfigBytes = std::int64_t{16} << 20;
inline constexpr int kMaxConfigDepth = 32;
inline constexpr std::int64_t kMaxConfigValues = 100'000;
inline constexpr std::int64_t kMaxLayers = 1'024;
inline constexpr std::int64_t kMaxModelWidth = 1 << 20;
inline constexpr std::int64_t kMaxBeam = 65'536;
inline constexpr std::int64_t kMaxLogProbBytes = std::int64_t{16} << 30;  // of one step
inline constexpr std::int64_t kMaxSequenceLength = 1 << 24;
inline constexpr std::int64_t kMaxLineBytes = std::int64_t{64} << 20;  // of text read as it comes

}  // namespace elbeam::limits
