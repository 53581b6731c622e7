/* A whole camera program in C. The same in Rust: camera.rs, in Python: camera.py.
 *
 *   cc examples/camera.c -o camera $(pkg-config --cflags --libs gstreamer-1.0)
 *   export GST_PLUGIN_PATH=$PWD/target/plugins    (of the checkout; not with the package)
 *   ./camera SOCKET [CAMERA]
 *
 * Lists the cameras, and tells of those that come and go. Prints what can be set at the first one, or at CAMERA (an id), with the range of each. Shares it
 * at SOCKET, for any number of shmsrc-rs and shmsrc. Prints what the camera knew about every thirtieth frame. A line on the standard input changes a
 * control while it streams: `brightness=0.5` (libcamera's virtual camera lacks it, and says so); `quit`, or the
 * input's end, ends it. When the camera is unplugged, waits until it is back. */

#include <gst/gst.h>
#include <string.h>

typedef struct
{
  const char *socket;
  gchar *wanted;
  GMainLoop *loop;
  GstDeviceMonitor *monitor;
  GstElement *pipeline;
  /* The camera, where it has come back and there still was a pipeline. */
  GstDevice *back;
  guint frames;
  int status;
} Program;

/* The id, of a device that is a camera of libcamera's: other providers list cameras, too. NULL for others. */
static gchar *
camera_id (GstDevice *device)
{
  GstStructure *properties = gst_device_get_properties (device);
  if (properties == NULL)
    return NULL;
  gchar *id = g_strdup (gst_structure_get_string (properties, "api.libcamera.id"));
  gst_structure_free (properties);
  return id;
}

static void start (Program *program, GstDevice *device);

/* Tries it at most once each time that it comes: one that is there and cannot be opened is not tried for ever. */
static void
wait_for_camera (Program *program)
{
  GstDevice *back = g_steal_pointer (&program->back);
  if (back != NULL)
    start (program, back);
  else
    g_print ("waiting for %s\n", program->wanted ? program->wanted : "a camera");
  g_clear_object (&back);
}

static void
stop (Program *program)
{
  if (program->pipeline == NULL)
    return;
  GstBus *bus = gst_element_get_bus (program->pipeline);
  gst_bus_remove_watch (bus);
  gst_object_unref (bus);
  gst_element_set_state (program->pipeline, GST_STATE_NULL);
  g_clear_pointer (&program->pipeline, gst_object_unref);
}

/* In the thread of the pad, for every frame: nothing here may take long. */
static GstPadProbeReturn
on_frame (GstPad *pad G_GNUC_UNUSED, GstPadProbeInfo *info, gpointer data)
{
  Program *program = data;
  GstCustomMeta *meta = gst_buffer_get_custom_meta (GST_PAD_PROBE_INFO_BUFFER (info), "libcamera");
  if (meta != NULL && program->frames % 30 == 0) {
    gchar *all = gst_structure_to_string (gst_custom_meta_get_structure (meta));
    g_print ("frame %u: %s\n", program->frames, all);
    g_free (all);
  }
  program->frames++;
  return GST_PAD_PROBE_OK;
}

static gboolean
on_message (GstBus *bus G_GNUC_UNUSED, GstMessage *message, gpointer data)
{
  Program *program = data;
  GError *error = NULL;
  gboolean goes_on = TRUE;
  switch (GST_MESSAGE_TYPE (message)) {
    case GST_MESSAGE_WARNING:
      gst_message_parse_warning (message, &error, NULL);
      g_print ("warning: %s\n", error->message);
      break;
    case GST_MESSAGE_ERROR:
      gst_message_parse_error (message, &error, NULL);
      g_print ("error: %s\n", error->message);
      /* The watch goes with the pipeline. */
      stop (program);
      goes_on = FALSE;
      /* Of the camera this says that it is gone: unplugged, or its driver has failed. Other errors do not end by themselves: of the sink it is a
       * directory that does not exist. */
      if (g_error_matches (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND) && g_strcmp0 (GST_MESSAGE_SRC_NAME (message), "source") == 0) {
        wait_for_camera (program);
      } else {
        program->status = 1;
        g_main_loop_quit (program->loop);
      }
      break;
    default:
      break;
  }
  g_clear_error (&error);
  return goes_on;
}

static gboolean
print_control (GQuark name, const GValue *value, gpointer data G_GNUC_UNUSED)
{
  gchar *limits = gst_structure_to_string (gst_value_get_structure (value));
  g_print ("control %s: %s\n", g_quark_to_string (name), limits);
  g_free (limits);
  return TRUE;
}

static void
start (Program *program, GstDevice *device)
{
  g_free (program->wanted);
  program->wanted = camera_id (device);
  program->pipeline = gst_pipeline_new (NULL);
  GstElement *source = gst_device_create_element (device, "source");
  g_object_set (source, "pace", TRUE, NULL);
  /* The queue gives sharing a thread of its own; the camera goes on whatever comes behind. */
  GstElement *share =
      gst_parse_bin_from_description ("capsfilter caps=video/x-raw,framerate=30/1 ! queue ! shmsink-rs name=sink", TRUE, NULL);
  GstElement *sink = gst_bin_get_by_name (GST_BIN (share), "sink");
  g_object_set (sink, "socket-path", program->socket, NULL);
  gst_object_unref (sink);
  gst_bin_add_many (GST_BIN (program->pipeline), source, share, NULL);
  gst_element_link (source, share);
  GstPad *pad = gst_element_get_static_pad (source, "src");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, on_frame, program, NULL);
  gst_object_unref (pad);
  GstBus *bus = gst_element_get_bus (program->pipeline);
  gst_bus_add_watch (bus, on_message, program);
  gst_object_unref (bus);
  /* From READY on the camera is open and says what can be set. If it cannot be opened, an error is on the bus. */
  if (gst_element_set_state (program->pipeline, GST_STATE_READY) == GST_STATE_CHANGE_FAILURE)
    return;
  GstStructure *controls = NULL;
  g_object_get (source, "camera-controls", &controls, NULL);
  gst_structure_foreach (controls, print_control, NULL);
  gst_structure_free (controls);
  if (gst_element_set_state (program->pipeline, GST_STATE_PLAYING) != GST_STATE_CHANGE_FAILURE)
    g_print ("%s is shared at %s\n", program->wanted, program->socket);
}

static gboolean
is_wanted (Program *program, const gchar *id)
{
  return id != NULL && (program->wanted == NULL || strcmp (program->wanted, id) == 0);
}

static gboolean
on_device (GstBus *bus G_GNUC_UNUSED, GstMessage *message, gpointer data)
{
  Program *program = data;
  GstDevice *device = NULL;
  gboolean came = GST_MESSAGE_TYPE (message) == GST_MESSAGE_DEVICE_ADDED;
  if (came)
    gst_message_parse_device_added (message, &device);
  else if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_DEVICE_REMOVED)
    gst_message_parse_device_removed (message, &device);
  if (device == NULL)
    return TRUE;
  gchar *id = camera_id (device);
  if (id != NULL)
    g_print ("camera %s has %s\n", id, came ? "come" : "gone");
  if (came && program->pipeline == NULL && is_wanted (program, id))
    start (program, device);
  else if (is_wanted (program, id))
    g_set_object (&program->back, (came ? device : NULL));
  g_free (id);
  gst_object_unref (device);
  return TRUE;
}

/* Sets a control. Any state will do, and any thread. What the camera lacks or cannot do is a warning on the bus. */
static void
ask (GstElement *source, const gchar *name, const gchar *text)
{
  GParamSpec *property = g_object_class_find_property (G_OBJECT_GET_CLASS (source), name);
  if (property == NULL || !(property->flags & G_PARAM_WRITABLE)) {
    g_print ("'%s' is no control: type CONTROL=VALUE\n", name);
    return;
  }
  GValue value = G_VALUE_INIT;
  g_value_init (&value, property->value_type);
  if (gst_value_deserialize_with_pspec (&value, text, property)) {
    g_object_set_property (G_OBJECT (source), name, &value);
    g_print ("%s is asked for\n", name);
  } else {
    g_print ("'%s' is no value for %s: it is a %s\n", text, name, g_type_name (property->value_type));
  }
  g_value_unset (&value);
}

static gboolean
on_input (GIOChannel *input, GIOCondition condition G_GNUC_UNUSED, gpointer data)
{
  Program *program = data;
  gchar *line = NULL;
  if (g_io_channel_read_line (input, &line, NULL, NULL, NULL) != G_IO_STATUS_NORMAL || strcmp (g_strstrip (line), "quit") == 0) {
    g_free (line);
    g_main_loop_quit (program->loop);
    return FALSE;
  }
  gchar *equals = strchr (line, '=');
  GstElement *source = program->pipeline ? gst_bin_get_by_name (GST_BIN (program->pipeline), "source") : NULL;
  if (equals != NULL)
    *equals = '\0';
  if (source == NULL)
    g_print ("the camera is not there\n");
  else
    ask (source, line, equals ? equals + 1 : "");
  g_clear_pointer (&source, gst_object_unref);
  g_free (line);
  return TRUE;
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  if (argc != 2 && argc != 3) {
    g_printerr ("usage: camera SOCKET [CAMERA]\n");
    return 2;
  }
  GstDeviceProviderFactory *provider = gst_device_provider_factory_find ("libcameraprovider-rs");
  if (provider == NULL) {
    g_printerr ("GStreamer does not find the plugin: export GST_PLUGIN_PATH=.../target/plugins of the checkout, or install the package\n");
    return 2;
  }
  gst_object_unref (provider);

  Program program = { argv[1], g_strdup (argv[2]), g_main_loop_new (NULL, FALSE), gst_device_monitor_new (), NULL, NULL, 0, 0 };
  gst_device_monitor_add_filter (program.monitor, "Video/Source", NULL);
  GstBus *bus = gst_device_monitor_get_bus (program.monitor);
  gst_bus_add_watch (bus, on_device, &program);
  if (!gst_device_monitor_start (program.monitor)) {
    g_printerr ("cameras cannot be listed: GST_DEBUG=2 shows why\n");
    return 1;
  }
  /* Those that are here are listed; what the monitor has told of them is not news. */
  gst_bus_set_flushing (bus, TRUE);
  gst_bus_set_flushing (bus, FALSE);

  GList *devices = gst_device_monitor_get_devices (program.monitor);
  GstDevice *chosen = NULL;
  for (GList *item = devices; item != NULL; item = item->next) {
    gchar *id = camera_id (item->data);
    gchar *name = gst_device_get_display_name (item->data);
    if (id != NULL)
      g_print ("camera %s: %s\n", id, name);
    if (chosen == NULL && is_wanted (&program, id))
      chosen = item->data;
    g_free (name);
    g_free (id);
  }
  if (chosen != NULL)
    start (&program, chosen);
  else
    wait_for_camera (&program);
  g_list_free_full (devices, gst_object_unref);

  GIOChannel *input = g_io_channel_unix_new (0);
  g_io_add_watch (input, G_IO_IN | G_IO_HUP, on_input, &program);
  g_main_loop_run (program.loop);

  stop (&program);
  gst_device_monitor_stop (program.monitor);
  gst_bus_remove_watch (bus);
  gst_object_unref (bus);
  gst_object_unref (program.monitor);
  g_clear_object (&program.back);
  g_io_channel_unref (input);
  g_main_loop_unref (program.loop);
  g_free (program.wanted);
  return program.status;
}
