#include "attention/planner.hpp"

#include <gtest/gtest.h>

namespace elbeam::attention {
namespace {

// BART-large on one CNN/DailyMail article: the example of the paper's table (L 12, d 1024, n 4).
Shape bart_large() { return {12, 16, 1024, 1024, 4, 1024, 1, 100}; }

TEST(Planner, CacheBytesAreThePapers) {
  const Shape shape = bart_large();
  const double el = predict_cross_el(shape, 2).cache_bytes;
  EXPECT_EQ(el, 1024.0 * 1024 * 2);
  EXPECT_EQ(predict_cross_mha(shape, 2).cache_bytes, 24 * el);
  EXPECT_EQ(predict_cross_mha(copied(shape), 2).cache_bytes, 96 * el);
}

TEST(Planner, TakesTheCheaperOfTheTwo) {
  for (const std::int64_t beam : {1, 2, 4, 5, 10}) {
    for (const std::int64_t heads : {1, 4, 16}) {
      for (const std::int64_t steps : {1, 10, 100}) {
        Shape shape = bart_large();
        shape.beam = beam;
        shape.heads = heads;
        shape.expected_steps = steps;
        const bool el_is_cheaper =
            predict_cross_el(shape, 4).seconds < predict_cross_mha(shape, 4).seconds;
        EXPECT_EQ(plan_cross(shape, 4), el_is_cheaper ? Kind::kEl : Kind::kMha);
      }
    }
  }
}

TEST(Planner, ShortOutputsSpareTheKeysAndLongOnesPayForThem) {
  Shape shape = bart_large();
  shape.expected_steps = 1;
  EXPECT_EQ(plan_cross(shape, 4), Kind::kEl);
  shape.expected_steps = 140;
  EXPECT_EQ(plan_cross(shape, 4), Kind::kMha);
}

TEST(Planner, CostsGrowWithWhatIsToBeDone) {
  const auto seconds = [](const Shape& shape, Kind kind) {
    return (kind == Kind::kEl ? predict_cross_el(shape, 4) : predict_cross_mha(shape, 4)).seconds;
  };
  for (const Kind kind : {Kind::kEl, Kind::kMha}) {
    const double one = seconds(bart_large(), kind);
    EXPECT_GT(one, 0.0);
    for (std::int64_t Shape::*const field :
         {&Shape::layers, &Shape::beam, &Shape::source_tokens, &Shape::expected_steps}) {
      Shape larger = bart_large();
      larger.*field *= 8;
      EXPECT_GT(seconds(larger, kind), one);
    }
    // A faster machine is never slower, and keys and values that are copied cost more.
    const Machine fast{1e15, 1e15};
    const Cost cost = kind == Kind::kEl ? predict_cross_el(bart_large(), 4, fast)
                                        : predict_cross_mha(bart_large(), 4, fast);
    EXPECT_LT(cost.seconds, one);
  }
  EXPECT_GT(seconds(copied(bart_large()), Kind::kMha), 2 * seconds(bart_large(), Kind::kMha));
}

}  // namespace
}  // namespace elbeam::attention
