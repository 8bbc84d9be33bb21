#include "cmedia_video.h"
#include "internal.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/// A frame's place in time, known before anything is decoded.
struct entry {
    int64_t time;
    int is_key;
};

struct cm_video {
    AVFormatContext *file;
    AVCodecContext *codec;
    AVStream *stream;
    AVPacket *packet;
    AVFrame *frame;
    struct SwsContext *scaler;
    int64_t width, height;
    /// All frames in the order they are shown.
    struct entry *entries;
    int64_t count;
    /// Which frame `frame` holds, -1 for none; and the first that decoding on would give.
    int64_t held, next;
    int drained;
};

// Only containers: playlists and concatenations would open further files that a file of unknown origin names.
static const char containers[] =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,mpeg,mpegvideo,ogg,flv,asf,m4v,h264,hevc,ivf,obu";

static cm_failure explain(int code) {
    switch (code) {
        case AVERROR(ENOMEM): return cm_fail(CM_OUT_OF_MEMORY, "there is not enough memory to decode it");
        case AVERROR(ENOENT): return cm_fail(CM_IO, "there is no such file");
        case AVERROR(EACCES): return cm_fail(CM_IO, "permission is denied");
        case AVERROR(EISDIR): return cm_fail(CM_IO, "it is a folder");
        case AVERROR_EOF: return cm_fail(CM_TRUNCATED, "the file ends before the frame does");
        case AVERROR_DECODER_NOT_FOUND:
        case AVERROR_PATCHWELCOME: return cm_fail(CM_UNSUPPORTED, "no decoder for its codec is installed");
        default: return cm_fail(CM_CORRUPT, "its container or data is damaged, or it is no video");
    }
}

static int by_time(const void *left, const void *right) {
    int64_t a = ((const struct entry *)left)->time, b = ((const struct entry *)right)->time;
    return a < b ? -1 : a > b;
}

/// Reads every packet's time; decoding nothing, this costs little more than reading the file.
static cm_failure list_frames(cm_video *video, int64_t max_frames) {
    int64_t room = 0, last = INT64_MIN;
    int code;
    while ((code = av_read_frame(video->file, video->packet)) >= 0) {
        AVPacket *packet = video->packet;
        int counts = packet->stream_index == video->stream->index && !(packet->flags & AV_PKT_FLAG_DISCARD);
        int64_t time = packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts;
        int is_key = (packet->flags & AV_PKT_FLAG_KEY) != 0;
        av_packet_unref(packet);
        if (!counts) continue;
        if (video->count == max_frames) return cm_fail(CM_TOO_LARGE, "it has more frames than the limit allows");
        if (video->count == room) {
            room = room ? room * 2 : 1024;
            struct entry *grown = realloc(video->entries, (size_t)room * sizeof *grown);
            if (!grown) return cm_fail(CM_OUT_OF_MEMORY, "there is not enough memory to decode it");
            video->entries = grown;
        }
        // Raw streams have no times; their packets are then taken to be shown in order.
        if (time == AV_NOPTS_VALUE) time = last == INT64_MIN ? 0 : last + 1;
        last = time;
        video->entries[video->count++] = (struct entry){time, is_key};
    }
    if (video->count == 0) return cm_fail(CM_CORRUPT, "it has no frames");
    qsort(video->entries, (size_t)video->count, sizeof *video->entries, by_time);
    return cm_ok();
}

static int rotation(const AVStream *stream) {
    const int32_t *matrix = NULL;
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(60, 31, 100)
    const AVPacketSideData *data = av_packet_side_data_get(
        stream->codecpar->coded_side_data, stream->codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
    if (data && data->size >= 36) matrix = (const int32_t *)data->data;
#else
    size_t size = 0;
    const uint8_t *data = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
    if (data && size >= 36) matrix = (const int32_t *)data;
#endif
    if (!matrix) return 0;
    // The matrix turns counterclockwise, and is NaN where it is no rotation.
    double degrees = -av_display_rotation_get(matrix);
    if (!isfinite(degrees)) return 0;
    return (((int)lround(degrees / 90) * 90) % 360 + 360) % 360;
}

static cm_failure rewind_to(cm_video *video, int64_t index) {
    int code = av_seek_frame(
        video->file, video->stream->index, video->entries[index].time, AVSEEK_FLAG_BACKWARD);
    if (code < 0) code = av_seek_frame(video->file, video->stream->index, 0, AVSEEK_FLAG_BYTE | AVSEEK_FLAG_BACKWARD);
    if (code < 0) return cm_fail(CM_UNSUPPORTED, "it cannot be read from an earlier place again");
    avcodec_flush_buffers(video->codec);
    av_frame_unref(video->frame);
    video->held = -1;
    video->next = 0;
    video->drained = 0;
    return cm_ok();
}

/// Decodes the next frame into `video->frame`.
static cm_failure decode_next(cm_video *video) {
    while (1) {
        int code = avcodec_receive_frame(video->codec, video->frame);
        if (code == 0) break;
        if (code == AVERROR_EOF) return cm_fail(CM_TRUNCATED, "the file ends before the frame does");
        if (code != AVERROR(EAGAIN)) return explain(code);
        if (video->drained) return cm_fail(CM_TRUNCATED, "the file ends before the frame does");
        code = av_read_frame(video->file, video->packet);
        if (code == AVERROR_EOF) {
            video->drained = 1;
            code = avcodec_send_packet(video->codec, NULL);
        } else if (code >= 0) {
            if (video->packet->stream_index == video->stream->index)
                code = avcodec_send_packet(video->codec, video->packet);
            av_packet_unref(video->packet);
        }
        if (code < 0 && code != AVERROR(EAGAIN)) return explain(code);
    }
    // Which frame this is, its time tells; without one it is the next.
    int64_t time = video->frame->best_effort_timestamp, low = 0, high = video->count;
    video->held = video->next;
    if (time != AV_NOPTS_VALUE) {
        while (low < high) {
            int64_t middle = low + (high - low) / 2;
            if (video->entries[middle].time < time) low = middle + 1;
            else high = middle;
        }
        if (low < video->count && video->entries[low].time == time) video->held = low;
    }
    video->next = video->held + 1;
    return cm_ok();
}

static cm_failure convert(cm_video *video, uint8_t *out) {
    AVFrame *frame = video->frame;
    if (frame->width < 1 || frame->height < 1 || (int64_t)frame->width * frame->height > video->codec->max_pixels)
        return cm_fail(CM_TOO_LARGE, "a frame is larger than the limit allows");
    video->scaler = sws_getCachedContext(
        video->scaler, frame->width, frame->height, (enum AVPixelFormat)frame->format, (int)video->width,
        (int)video->height, AV_PIX_FMT_RGB24, SWS_BILINEAR, NULL, NULL, NULL);
    if (!video->scaler) return cm_fail(CM_UNSUPPORTED, "its colours cannot be turned into RGB");
    int *table = NULL, *inverse = NULL, from_range = 0, to_range = 0, brightness = 0, contrast = 0, saturation = 0;
    if (sws_getColorspaceDetails(
            video->scaler, &inverse, &from_range, &table, &to_range, &brightness, &contrast, &saturation) >= 0) {
        // The file says which matrix made its luma; where it is silent, swscale's own choice (BT.601) stands.
        const int *matrix = frame->colorspace == AVCOL_SPC_UNSPECIFIED || frame->colorspace == AVCOL_SPC_RGB
            ? inverse
            : sws_getCoefficients(frame->colorspace);
        if (frame->color_range != AVCOL_RANGE_UNSPECIFIED) from_range = frame->color_range == AVCOL_RANGE_JPEG;
        sws_setColorspaceDetails(
            video->scaler, matrix, from_range, table, to_range, brightness, contrast, saturation);
    }
    // The scaler may write a little past a row; only rows of its own keep that out of the caller's memory.
    int stride = ((int)video->width * 3 + 63) / 64 * 64;
    uint8_t *rows = malloc((size_t)stride * (size_t)video->height + 64);
    if (!rows) return cm_fail(CM_OUT_OF_MEMORY, "there is not enough memory to decode it");
    uint8_t *planes[4] = {rows};
    int strides[4] = {stride};
    int done = sws_scale(
        video->scaler, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height, planes, strides);
    for (int64_t y = 0; done == video->height && y < video->height; y++)
        memcpy(out + y * video->width * 3, rows + y * stride, (size_t)video->width * 3);
    free(rows);
    return done == video->height ? cm_ok() : cm_fail(CM_CORRUPT, "a frame could not be turned into RGB");
}

cm_failure cm_video_frame(cm_video *video, int64_t index, uint8_t *out) {
    if (index < 0 || index >= video->count) return cm_fail(CM_CORRUPT, "it has no frame of this index");
    if (video->held != index) {
        // A key frame between here and there saves decoding up to it.
        int64_t key = index;
        while (key > 0 && !video->entries[key].is_key) key--;
        if (index < video->next || key > video->next) {
            cm_failure failure = rewind_to(video, key);
            if (failure.status != CM_OK) return failure;
            video->next = key;
        }
        while (1) {
            cm_failure failure = decode_next(video);
            if (failure.status != CM_OK) return failure;
            if (video->held == index) break;
            if (video->held > index) return cm_fail(CM_CORRUPT, "a frame is missing or cannot be decoded");
        }
    }
    return convert(video, out);
}

double cm_video_time(const cm_video *video, int64_t index) {
    if (index < 0 || index >= video->count) return 0;
    return (double)(video->entries[index].time - video->entries[0].time) * av_q2d(video->stream->time_base);
}

static cm_failure open_file(cm_video *video, const char *path, int64_t max_pixels, int threads) {
    size_t length = strlen(path);
    char *address = malloc(length + 6);
    AVDictionary *options = NULL;
    if (!address) return cm_fail(CM_OUT_OF_MEMORY, "there is not enough memory to decode it");
    memcpy(address, "file:", 5);
    memcpy(address + 5, path, length + 1);
    av_dict_set(&options, "protocol_whitelist", "file", 0);
    av_dict_set(&options, "format_whitelist", containers, 0);
    int code = avformat_open_input(&video->file, address, NULL, &options);
    av_dict_free(&options);
    free(address);
    if (code < 0) return explain(code);
    if ((code = avformat_find_stream_info(video->file, NULL)) < 0) return explain(code);
    const AVCodec *decoder = NULL;
    int index = av_find_best_stream(video->file, AVMEDIA_TYPE_VIDEO, -1, -1, &decoder, 0);
    if (index < 0) return index == AVERROR_DECODER_NOT_FOUND ? explain(index) : cm_fail(CM_CORRUPT, "it has no video");
    video->stream = video->file->streams[index];
    for (unsigned other = 0; other < video->file->nb_streams; other++)
        if ((int)other != index) video->file->streams[other]->discard = AVDISCARD_ALL;
    video->codec = avcodec_alloc_context3(decoder);
    video->packet = av_packet_alloc();
    video->frame = av_frame_alloc();
    if (!video->codec || !video->packet || !video->frame) return explain(AVERROR(ENOMEM));
    if ((code = avcodec_parameters_to_context(video->codec, video->stream->codecpar)) < 0) return explain(code);
    video->width = video->codec->width;
    video->height = video->codec->height;
    if (video->width < 1 || video->height < 1) return cm_fail(CM_CORRUPT, "it does not tell the size of its frames");
    if (video->width > max_pixels / video->height)
        return cm_fail(CM_TOO_LARGE, "its frames have more pixels than the limit allows");
    video->codec->max_pixels = max_pixels;
    video->codec->thread_count = threads;
    video->codec->pkt_timebase = video->stream->time_base;
    if ((code = avcodec_open2(video->codec, decoder, NULL)) < 0) return explain(code);
    return cm_ok();
}

cm_failure cm_video_open(
    const char *path, int64_t max_pixels, int64_t max_frames, int threads, cm_video **video, cm_video_info *info) {
    // FFmpeg would write its messages, with parts of the file, to the terminal.
    av_log_set_level(AV_LOG_QUIET);
    memset(info, 0, sizeof *info);
    *video = calloc(1, sizeof **video);
    if (!*video) return cm_fail(CM_OUT_OF_MEMORY, "there is not enough memory to decode it");
    (*video)->held = -1;
    cm_failure failure = open_file(*video, path, max_pixels, threads);
    if (failure.status == CM_OK) failure = list_frames(*video, max_frames);
    if (failure.status == CM_OK) failure = rewind_to(*video, 0);
    if (failure.status != CM_OK) {
        cm_video_close(*video);
        *video = NULL;
        return failure;
    }
    AVStream *stream = (*video)->stream;
    info->width = (*video)->width;
    info->height = (*video)->height;
    info->frames = (*video)->count;
    info->rotation = rotation(stream);
    AVRational rate = stream->avg_frame_rate.num > 0 && stream->avg_frame_rate.den > 0 ? stream->avg_frame_rate
                                                                                       : stream->r_frame_rate;
    info->rate = rate.num > 0 && rate.den > 0 ? av_q2d(rate) : 0;
    info->duration = stream->duration > 0 ? (double)stream->duration * av_q2d(stream->time_base)
        : (*video)->file->duration > 0    ? (double)(*video)->file->duration / AV_TIME_BASE
        : info->rate > 0                  ? (double)info->frames / info->rate
                                          : 0;
    return cm_ok();
}

void cm_video_close(cm_video *video) {
    if (!video) return;
    sws_freeContext(video->scaler);
    av_frame_free(&video->frame);
    av_packet_free(&video->packet);
    avcodec_free_context(&video->codec);
    avformat_close_input(&video->file);
    free(video->entries);
    free(video);
}
