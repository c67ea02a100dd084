// What region_layout.h says about sizes and offsets, checked by the C compiler.
#include "region_layout.h"

#define LP_ASSERT_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type " has changed size")
#define LP_ASSERT_OFFSET(type, field, bytes)                                                           \
    _Static_assert(offsetof(type, field) == (bytes), #type "." #field " has moved")

LP_ASSERT_SIZE(struct lp_header, LP_HEADER_BYTES);
LP_ASSERT_SIZE(struct lp_epoch, LP_EPOCH_BYTES);
LP_ASSERT_SIZE(struct lp_module, LP_MODULE_BYTES);
LP_ASSERT_SIZE(struct lp_node, LP_NODE_BYTES);
LP_ASSERT_SIZE(struct lp_counter, LP_COUNTER_BYTES);
LP_ASSERT_SIZE(struct lp_sampled, LP_COUNTER_BYTES);
LP_ASSERT_SIZE(struct lp_code, LP_CODE_BYTES);
LP_ASSERT_SIZE(struct lp_text, LP_TEXT_BYTES);

_Static_assert(LP_MAX_TRACE == 3 * LP_MAX_DEPTH + 4, "frames, what stands for others, Python frames");

// The two ends of the last table are one word.
_Static_assert(offsetof(struct lp_header, counters_used) % 8 == 0 &&
                   offsetof(struct lp_header, heap_used) ==
                       offsetof(struct lp_header, counters_used) + 4,
               "counters_used and heap_used change together");

// The words every allocation reads share no cache line with words that allocations write.
LP_ASSERT_OFFSET(struct lp_header, state, LP_HEADER_STATE_OFF);
LP_ASSERT_OFFSET(struct lp_header, epochs_used, LP_HEADER_EPOCHS_USED_OFF);
_Static_assert(LP_HEADER_STATE_OFF % 64 == 0 && LP_HEADER_EPOCHS_USED_OFF % 64 == 0, "cache lines");

// A counter has the freed sums in front and the retired ones behind: readers rely on it.
LP_ASSERT_OFFSET(struct lp_counter, freed_objects, 0);
LP_ASSERT_OFFSET(struct lp_counter, freed_bytes, 8);
LP_ASSERT_OFFSET(struct lp_counter, allocated_objects, LP_COUNTER_ALLOCATED_OFF);
LP_ASSERT_OFFSET(struct lp_counter, stack, LP_COUNTER_STACK_OFF);
LP_ASSERT_OFFSET(struct lp_sampled, freed_extra_objects, 0);
LP_ASSERT_OFFSET(struct lp_sampled, allocated_extra_objects, LP_SAMPLED_ALLOCATED_OFF);
