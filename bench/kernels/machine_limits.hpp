// What this machine can do at most, measured by the benchmark itself: the roof of the roofline.
#pragma once

#include "base/thread_pool.hpp"

namespace elbeam::bench {

struct MachineLimits {
  double flops = 0.0;           // fp32 multiply-adds count twice, a second, all threads together
  double bytes_per_second = 0;  // reading far more than the caches hold, all threads together
};

// Best of several runs; takes about a second.
MachineLimits measure_limits(ThreadPool& pool);

}  // namespace elbeam::bench
