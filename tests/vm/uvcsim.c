/*
 * A USB camera in user space, plugged into this very kernel through its virtual USB host controller (vhci-hcd, the kernel's side of USB/IP) by a
 * pair of connected sockets: no network, no hardware. The kernel's own uvcvideo driver takes it for a USB Video Class 1.0 camera with a bulk
 * endpoint that delivers YUY2 at 320x240, 640x480 and 1280x720.
 *
 *     uvcsim PORT FPS
 *
 * The program plugs in when it starts; killing it unplugs. Each control that arrives is a line on standard output, "control NAME VALUE", as are
 * "plugged" and "stream WIDTHxHEIGHT". Each frame's first 32 pixels are its number in binary, the lowest bit first, white for 1; see picture() for
 * the rest, which tests compute for themselves. Brightness is added to it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LE2(x) (uint8_t)(x), (uint8_t)((x) >> 8)
#define LE4(x) LE2(x), LE2((x) >> 16)

/* --- descriptors ------------------------------------------------------------------------------------------------------ */

enum { CONTROL_INTERFACE, STREAMING_INTERFACE };
enum { CAMERA_TERMINAL = 1, PROCESSING_UNIT = 2, OUTPUT_TERMINAL = 3 };
enum { SPEED_HIGH = 3, BULK_IN = 0x81, BULK_PACKET = 512, FORMATS = 3 };

static const uint16_t WIDTH[FORMATS] = {320, 640, 1280}, HEIGHT[FORMATS] = {240, 480, 720};

static const uint8_t device_descriptor[] = {
    18, 1, LE2(0x200), 0xef, 2, 1, 64, LE2(0x1d6b), LE2(0x0102), LE2(0x100), 1, 2, 3, 1,
};

#define INTERVAL(fps) (10000000u / (fps))
#define FRAME(index, width, height)                                                                                      \
    34, 0x24, 5, index, 0, LE2(width), LE2(height), LE4(width * height * 16u), LE4(width * height * 16u * 60),           \
        LE4(width * height * 2u), LE4(INTERVAL(30)), 2, LE4(INTERVAL(30)), LE4(INTERVAL(15))
#define CONTROL_LENGTH (13 + 18 + 11 + 9)
#define STREAMING_LENGTH (14 + 27 + 3 * 34 + 6)
#define TOTAL_LENGTH (9 + 8 + 9 + CONTROL_LENGTH + 9 + STREAMING_LENGTH + 7)

static const uint8_t configuration_descriptor[] = {
    9, 2, LE2(TOTAL_LENGTH), 2, 1, 0, 0x80, 50,
    8, 11, CONTROL_INTERFACE, 2, 14, 3, 0, 0,
    9, 4, CONTROL_INTERFACE, 0, 0, 14, 1, 0, 0,
    13, 0x24, 1, LE2(0x100), LE2(CONTROL_LENGTH), LE4(6000000u), 1, STREAMING_INTERFACE,
    18, 0x24, 2, CAMERA_TERMINAL, LE2(0x201), 0, 0, LE2(0), LE2(0), LE2(0), 3, 0x0a, 0, 0, /* exposure: mode, time */
    11, 0x24, 5, PROCESSING_UNIT, CAMERA_TERMINAL, LE2(0), 2, LE2(0x020b), 0, /* brightness, contrast, saturation, gain */
    9, 0x24, 3, OUTPUT_TERMINAL, LE2(0x101), 0, PROCESSING_UNIT, 0,
    9, 4, STREAMING_INTERFACE, 0, 1, 14, 2, 0, 0,
    14, 0x24, 1, 1, LE2(STREAMING_LENGTH), BULK_IN, 0, OUTPUT_TERMINAL, 0, 0, 0, 1, 0,
    27, 0x24, 4, 1, FORMATS, 'Y', 'U', 'Y', '2', 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71, 16, 1, 0, 0, 0, 0,
    FRAME(1, 320, 240), FRAME(2, 640, 480), FRAME(3, 1280, 720),
    6, 0x24, 13, 1, 1, 4, /* BT.709 primaries and transfer, BT.601 matrix */
    7, 5, BULK_IN, 2, LE2(BULK_PACKET), 0,
};
_Static_assert(sizeof configuration_descriptor == TOTAL_LENGTH, "the lengths in the descriptor");

/* --- state ------------------------------------------------------------------------------------------------------------ */

struct control {
    const char *name;
    uint8_t unit, selector, size;
    int32_t min, max, step, initial, value;
};

static struct control controls[] = {
    {"exposure-mode", CAMERA_TERMINAL, 2, 1, 0, 0, 0x09, 8, 8}, /* modes are bits: 1 manual, 8 aperture priority */
    {"exposure-time", CAMERA_TERMINAL, 4, 4, 1, 10000, 1, 156, 156},
    {"brightness", PROCESSING_UNIT, 2, 2, 0, 255, 1, 128, 128},
    {"contrast", PROCESSING_UNIT, 3, 2, 0, 255, 1, 32, 32},
    {"gain", PROCESSING_UNIT, 4, 2, 0, 255, 1, 64, 64},
    {"saturation", PROCESSING_UNIT, 7, 2, 0, 255, 1, 32, 32},
};
enum { BRIGHTNESS = 2, CONTROLS = sizeof controls / sizeof *controls };

static int usb; /* our end of the cable */
static unsigned fps = 30, format = 1; /* formats count from 1, as in the descriptors */
static uint32_t interval = INTERVAL(30); /* as negotiated, in units of 100 ns */
static uint8_t *frame; /* a payload: header and picture */
static size_t frame_size, frame_sent; /* equal between two frames */
static uint32_t frame_number;
static double frame_due;
static uint8_t frame_toggle;

/* Transfers of the host that wait for bytes of a frame. */
static struct { uint32_t sequence, length; } waiting[256];
static unsigned waiting_count;

static void say(const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    vprintf(text, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* --- USB/IP ----------------------------------------------------------------------------------------------------------- */

enum { SUBMIT = 1, UNLINK = 2, SUBMITTED = 3, UNLINKED = 4 };

struct packet { /* all numbers in network order */
    uint32_t command, sequence, device, in, endpoint;
    uint32_t word[5]; /* a request: flags, length, ...; an answer: status, length, ... */
    uint8_t setup[8];
};

static void all(ssize_t (*call)(int, void *, size_t), void *data, size_t size)
{
    char *at = data;
    while (size) {
        ssize_t done = call(usb, at, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            exit(0); /* the host has let go of us */
        at += done;
        size -= done;
    }
}

static ssize_t send_some(int fd, void *data, size_t size) { return send(fd, data, size, MSG_NOSIGNAL); }

static void answer(uint32_t command, uint32_t sequence, int32_t status, uint32_t length, const void *data)
{
    struct packet packet = {.command = htonl(command), .sequence = htonl(sequence), .word = {htonl(status), htonl(length)}};
    all(send_some, &packet, sizeof packet);
    if (data)
        all(send_some, (void *)data, length);
}

static void refuse(uint32_t sequence) { answer(SUBMITTED, sequence, -EPIPE, 0, NULL); }

static void drop_waiting(unsigned index)
{
    waiting_count--;
    memmove(waiting + index, waiting + index + 1, (waiting_count - index) * sizeof *waiting);
}

static void unlink_transfer(uint32_t sequence, uint32_t victim)
{
    int32_t status = 0; /* answered already */
    for (unsigned index = 0; index < waiting_count; index++)
        if (waiting[index].sequence == victim) {
            drop_waiting(index);
            status = -ECONNRESET;
            break;
        }
    answer(UNLINKED, sequence, status, 0, NULL);
}

/* --- requests to the control endpoint --------------------------------------------------------------------------------- */

enum { SET_CUR = 1, GET_CUR = 0x81, GET_MIN, GET_MAX, GET_RES, GET_LEN, GET_INFO, GET_DEF };

static uint32_t string_descriptor(unsigned index, uint8_t *buffer)
{
    static const char *const text[] = {"", "Simulated", "Simulated UVC camera", "0001"};
    static const uint8_t languages[] = {4, 3, LE2(0x409)};
    if (!index || index > 3)
        return memcpy(buffer, languages, sizeof languages), sizeof languages;
    uint32_t size = 2;
    for (const char *letter = text[index]; *letter; letter++) {
        buffer[size++] = *letter;
        buffer[size++] = 0;
    }
    buffer[0] = size;
    buffer[1] = 3;
    return size;
}

/* What would be streamed, or is: the "probe and commit" control of UVC 1.0. */
static uint32_t streaming_parameters(uint8_t *buffer)
{
    uint32_t size = WIDTH[format - 1] * HEIGHT[format - 1] * 2u;
    const uint8_t parameters[26] = {LE2(1), 1, format, LE4(interval), LE2(0), LE2(0), LE2(0), LE2(0), LE2(0), LE4(size), LE4(size + 2)};
    return memcpy(buffer, parameters, sizeof parameters), sizeof parameters;
}

static uint32_t get_streaming(uint8_t request, uint8_t *buffer)
{
    switch (request) {
    case GET_CUR: case GET_MIN: case GET_MAX: case GET_DEF: return streaming_parameters(buffer);
    case GET_LEN: return buffer[0] = 26, buffer[1] = 0, 2;
    case GET_INFO: return buffer[0] = 3, 1;
    default: return 0;
    }
}

static void set_streaming(unsigned selector, const uint8_t *data)
{
    enum { COMMIT = 2 };
    uint32_t wanted = data[4] | data[5] << 8 | data[6] << 16 | (uint32_t)data[7] << 24;
    if (data[3] >= 1 && data[3] <= FORMATS)
        format = data[3];
    interval = wanted > INTERVAL(30) ? INTERVAL(15) : INTERVAL(30);
    if (selector == COMMIT) {
        frame_sent = frame_size = 0;
        say("stream %ux%u", WIDTH[format - 1], HEIGHT[format - 1]);
    }
}

static struct control *find_control(unsigned unit, unsigned selector)
{
    for (struct control *control = controls; control < controls + CONTROLS; control++)
        if (control->unit == unit && control->selector == selector)
            return control;
    return NULL;
}

static uint32_t get_control(const struct control *control, uint8_t request, uint8_t *buffer)
{
    int32_t value;
    switch (request) {
    case GET_CUR: value = control->value; break;
    case GET_MIN: value = control->min; break;
    case GET_MAX: value = control->max; break;
    case GET_RES: value = control->step; break;
    case GET_DEF: value = control->initial; break;
    case GET_LEN: return buffer[0] = control->size, buffer[1] = 0, 2;
    case GET_INFO: return buffer[0] = 3, 1;
    default: return 0;
    }
    const uint8_t bytes[4] = {LE4(value)};
    return memcpy(buffer, bytes, control->size), control->size;
}

static void set_control(struct control *control, const uint8_t *data)
{
    uint32_t value = 0;
    for (unsigned byte = 0; byte < control->size; byte++)
        value |= (uint32_t)data[byte] << 8 * byte;
    control->value = value;
    say("control %s %d", control->name, control->value);
}

static uint32_t get_descriptor(unsigned type, unsigned index, uint8_t *buffer)
{
    switch (type) {
    case 1: return memcpy(buffer, device_descriptor, sizeof device_descriptor), sizeof device_descriptor;
    case 2: return memcpy(buffer, configuration_descriptor, sizeof configuration_descriptor), sizeof configuration_descriptor;
    case 3: return string_descriptor(index, buffer);
    default: return 0;
    }
}

static void control_request(uint32_t sequence, const uint8_t setup[8], uint32_t length)
{
    enum { STANDARD_IN = 0x80, CLASS_IN = 0xa1, CLASS_OUT = 0x21, GET_STATUS = 0, GET_DESCRIPTOR = 6 };
    const uint8_t type = setup[0], request = setup[1], value = setup[2], selector = setup[3], interface = setup[4], unit = setup[5];
    const uint32_t wanted = setup[6] | setup[7] << 8;
    uint8_t buffer[4096] = {0};
    uint32_t size = 0;

    if (!(type & 0x80)) {
        if (length > sizeof buffer)
            exit(1);
        all((ssize_t (*)(int, void *, size_t))read, buffer, length);
        struct control *control = find_control(unit, selector);
        if (type == CLASS_OUT && request == SET_CUR && interface == STREAMING_INTERFACE)
            set_streaming(selector, buffer);
        else if (type == CLASS_OUT && request == SET_CUR && control)
            set_control(control, buffer);
        answer(SUBMITTED, sequence, 0, length, NULL); /* others, SET_CONFIGURATION and the like, need nothing done */
        return;
    }
    if (type == STANDARD_IN && request == GET_DESCRIPTOR)
        size = get_descriptor(selector, value, buffer);
    else if (type == STANDARD_IN && request == GET_STATUS)
        size = 2;
    else if (type == CLASS_IN && interface == STREAMING_INTERFACE)
        size = get_streaming(request, buffer);
    else if (type == CLASS_IN && find_control(unit, selector))
        size = get_control(find_control(unit, selector), request, buffer);
    if (!size)
        refuse(sequence);
    else
        answer(SUBMITTED, sequence, 0, size < wanted ? size : wanted, buffer);
}

/* --- frames ----------------------------------------------------------------------------------------------------------- */

static uint8_t clamped(int value) { return value < 0 ? 0 : value > 255 ? 255 : value; }

/* Eight grey bars that move to the left by four pixels a frame, with a chroma that is the same everywhere. */
static void picture(uint8_t *pixels, unsigned width, unsigned height)
{
    const int brighter = controls[BRIGHTNESS].value - controls[BRIGHTNESS].initial;
    for (unsigned x = 0; x < width; x++) {
        pixels[2 * x] = clamped((int)((x + frame_number * 4) / 40 % 8) * 28 + 16 + brighter);
        pixels[2 * x + 1] = x & 1 ? 160 : 100;
    }
    for (unsigned y = 1; y < height; y++)
        memcpy(pixels + y * width * 2, pixels, width * 2);
    for (unsigned bit = 0; bit < 32; bit++)
        pixels[2 * bit] = frame_number >> bit & 1 ? 235 : 16;
}

static void next_frame(void)
{
    const unsigned width = WIDTH[format - 1], height = HEIGHT[format - 1];
    const double duration = interval == INTERVAL(30) ? 1.0 / fps : 2.0 / fps;
    frame_size = 2 + width * height * 2;
    frame_sent = 0;
    frame_toggle ^= 1;
    frame[0] = 2; /* the payload header: its size, and its flags: end of header, end of frame, frame toggle */
    frame[1] = 0x80 | 2 | frame_toggle;
    picture(frame + 2, width, height);
    frame_number++;
    frame_due += duration;
    if (frame_due < now())
        frame_due = now(); /* too late: the rate falls, no burst follows */
}

static void serve_frame(void)
{
    uint32_t size = frame_size - frame_sent;
    if (size > waiting[0].length)
        size = waiting[0].length;
    answer(SUBMITTED, waiting[0].sequence, 0, size, frame + frame_sent);
    frame_sent += size;
    drop_waiting(0);
}

/* --- the whole -------------------------------------------------------------------------------------------------------- */

static void serve_request(void)
{
    struct packet packet;
    all((ssize_t (*)(int, void *, size_t))read, &packet, sizeof packet);
    const uint32_t sequence = ntohl(packet.sequence), first = ntohl(packet.word[0]), length = ntohl(packet.word[1]);
    const int in = ntohl(packet.in) != 0, endpoint = ntohl(packet.endpoint);
    if (ntohl(packet.command) == UNLINK)
        unlink_transfer(sequence, first);
    else if (endpoint == 0)
        control_request(sequence, packet.setup, in ? 0 : length);
    else if (endpoint == (BULK_IN & 0xf) && in && waiting_count < sizeof waiting / sizeof *waiting) {
        waiting[waiting_count].sequence = sequence;
        waiting[waiting_count++].length = length;
    } else
        refuse(sequence);
}

static void plug_in(const char *port)
{
    static const char attach[] = "/sys/devices/platform/vhci_hcd.0/attach";
    int cable[2];
    char text[64];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, cable))
        perror("uvcsim: socketpair"), exit(1);
    int file = open(attach, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        perror("uvcsim: no virtual host controller (modprobe vhci-hcd)"), exit(1);
    int size = snprintf(text, sizeof text, "%s %d %d %d", port, cable[1], 1 << 16 | 2, SPEED_HIGH);
    if (write(file, text, size) != size)
        perror("uvcsim: plugging in"), exit(1);
    close(file);
    close(cable[1]); /* the kernel has it */
    usb = cable[0];
    say("plugged");
}

int main(int count, char **arguments)
{
    if (count != 3 || (fps = atoi(arguments[2])) < 1)
        return fprintf(stderr, "usage: uvcsim PORT FPS\n"), 2;
    frame = malloc(2 + WIDTH[FORMATS - 1] * HEIGHT[FORMATS - 1] * 2);
    if (!frame)
        return 1;
    plug_in(arguments[1]);
    for (;;) {
        const int sending = frame_sent < frame_size;
        const double wait = sending ? 0 : frame_due - now();
        struct pollfd poll_usb = {.fd = usb, .events = POLLIN};
        int ready = poll(&poll_usb, 1, !waiting_count ? -1 : wait > 0 ? (int)(wait * 1000) + 1 : 0);
        if (ready > 0)
            serve_request();
        else if (waiting_count && !sending && now() >= frame_due)
            next_frame();
        else if (waiting_count && sending)
            serve_frame();
    }
}
