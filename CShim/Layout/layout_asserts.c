// What region_layout.h promises about sizes and offsets, checked by the C compiler. LayoutTests checks
// that Swift sees the same.
#include "region_layout.h"

#define LP_ASSERT_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type " has changed size")
#define LP_ASSERT_OFFSET(type, field, bytes)                                                           \
    _Static_assert(offsetof(type, field) == (bytes), #type "." #field " has moved")

LP_ASSERT_SIZE(struct lp_header, 320);
LP_ASSERT_SIZE(struct lp_epoch, 16);
LP_ASSERT_SIZE(struct lp_module, 72);
LP_ASSERT_SIZE(struct lp_node, 24);
LP_ASSERT_SIZE(struct lp_counter, 64);
LP_ASSERT_SIZE(struct lp_sampled, 64);

// The words every allocation reads share no cache line with words that allocations write.
LP_ASSERT_OFFSET(struct lp_header, state, 192);
LP_ASSERT_OFFSET(struct lp_header, epochs_used, 256);

// A counter is one cache line with the freed sums in front: readers rely on both.
LP_ASSERT_OFFSET(struct lp_counter, freed_objects, 0);
LP_ASSERT_OFFSET(struct lp_counter, freed_bytes, 8);
LP_ASSERT_OFFSET(struct lp_counter, allocated_objects, 16);
LP_ASSERT_OFFSET(struct lp_counter, allocated_bytes, 24);
LP_ASSERT_OFFSET(struct lp_sampled, freed_extra_objects, 0);
LP_ASSERT_OFFSET(struct lp_sampled, allocated_extra_objects, 32);
