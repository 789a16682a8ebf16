#include "search/strategy.hpp"

#include "base/check.hpp"
#include "search/beam_search.hpp"
#include "search/constrained_search.hpp"
#include "search/diverse_search.hpp"
#include "search/prefix_constrained.hpp"
#include "search/sampling.hpp"

namespace elbeam::search {

void SearchStrategy::begin_step(const BatchStep& /*step*/) {}

void SearchStrategy::survive(std::int64_t /*sentence*/,
                             std::span<const std::int64_t> /*survivors*/) {}

std::unique_ptr<SearchStrategy> make_strategy(const DecodeRequest& request,
                                              const DecodePlan& plan) {
  switch (request.options.strategy) {
    case Strategy::kBeam:
      return std::make_unique<BeamSearch>();
    case Strategy::kDiverseBeam:
      return std::make_unique<DiverseBeamSearch>(request, plan);
    case Strategy::kDiverseSiblings:
      return std::make_unique<DiverseSiblingsSearch>(request.options.diversity_rate);
    case Strategy::kLengthConstrained:
      return std::make_unique<LengthConstrainedBeamSearch>(request.special.eos,
                                                           plan.source_lengths);
    case Strategy::kConstrainedOrdered:
    case Strategy::kConstrainedUnordered:
      return std::make_unique<ConstrainedSearch>(request, plan);
    case Strategy::kPrefixConstrained:
      return std::make_unique<PrefixConstrained>(request);
    case Strategy::kSampling:
      return std::make_unique<Sampling>(request, plan);
  }
  fail(ErrorCode::kUsage, "there is no search strategy number ",
       static_cast<int>(request.options.strategy));
}

}  // namespace elbeam::search
