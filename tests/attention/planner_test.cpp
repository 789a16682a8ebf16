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
  EXPECT_EQ(cross_cache_bytes_copied(shape, 2), 96 * el);
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

}  // namespace
}  // namespace elbeam::attention
