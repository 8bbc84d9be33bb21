// Video files through FFmpeg, frame by frame and by index.
#pragma once
#include "cmedia.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cm_video cm_video;

typedef struct cm_video_info {
    /// Pixels of a frame as stored, before rotation.
    int64_t width, height;
    /// Frames in the file, counted.
    int64_t frames;
    /// Average frames a second; 0 where the file does not tell.
    double rate;
    /// Seconds.
    double duration;
    /// How far a player turns the frames clockwise: 0, 90, 180 or 270.
    int rotation;
} cm_video_info;

/// Opens a local video file and counts its frames without decoding them. `max_pixels` bounds a frame, `max_frames`
/// the file. `threads` of 0 lets FFmpeg choose.
cm_failure cm_video_open(
    const char *path, int64_t max_pixels, int64_t max_frames, int threads, cm_video **video, cm_video_info *info);

/// Decodes frame `index` (0 is the first shown) into `out`, `height * width * 3` bytes. Going forward is cheap; going
/// back starts again from the key frame before.
cm_failure cm_video_frame(cm_video *video, int64_t index, uint8_t *out);

/// When frame `index` is shown, in seconds from the start of the first.
double cm_video_time(const cm_video *video, int64_t index);

void cm_video_close(cm_video *video);

#ifdef __cplusplus
}
#endif
