/* The frame walker of this interpreter (process/sampler.h), and whether it can see frames: only for the versions whose
 * internal layout frames.c knows. On others every sample is filed under "<native>". */
#ifndef HW_BINDING_FRAMES_H
#define HW_BINDING_FRAMES_H

#include "process/sampler.h"

extern const hw_frame_walker hw_frames_walker;
extern const bool hw_frames_visible;

#endif
