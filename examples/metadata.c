/* What the camera knew about each frame, in C.
 *
 *   cc examples/metadata.c -o metadata $(pkg-config --cflags --libs gstreamer-1.0)
 *   ./metadata ["PIPELINE"]
 *
 * Prints a line for each buffer that reaches the sink: its number, when its exposure began, and everything else that the camera reported, with the
 * types. The pipeline's sink must be a fakesink named `sink`; elements between it and the camera keep what they are given. */

#include <gst/gst.h>

#define PIPELINE "libcamerasrc-rs num-buffers=30 ! fakesink name=sink"

static void
print_frame (GstElement *sink, GstBuffer *buffer, GstPad *pad, gpointer frames)
{
  guint *count = frames;
  GstCustomMeta *meta = gst_buffer_get_custom_meta (buffer, "libcamera");
  if (meta == NULL) {
    g_print ("frame %u: no metadata (frame-metadata=false?)\n", (*count)++);
    return;
  }
  GstStructure *metadata = gst_custom_meta_get_structure (meta);
  gint64 exposed_at = 0;
  gst_structure_get_int64 (metadata, "sensor-timestamp", &exposed_at);
  gchar *all = gst_structure_to_string (metadata);
  g_print ("frame %u: exposed at %" G_GINT64_FORMAT " ns: %s\n", (*count)++, exposed_at, all);
  g_free (all);
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  GError *error = NULL;
  GstElement *pipeline = gst_parse_launch (argc > 1 ? argv[1] : PIPELINE, &error);
  if (error != NULL) {
    g_printerr ("%s\n", error->message);
    return 1;
  }
  GstElement *sink = gst_bin_get_by_name (GST_BIN (pipeline), "sink");
  if (sink == NULL) {
    g_printerr ("the pipeline has no element named sink\n");
    return 1;
  }
  guint frames = 0;
  g_object_set (sink, "signal-handoffs", TRUE, NULL);
  g_signal_connect (sink, "handoff", G_CALLBACK (print_frame), &frames);

  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  GstBus *bus = gst_element_get_bus (pipeline);
  GstMessage *end = gst_bus_timed_pop_filtered (bus, GST_CLOCK_TIME_NONE, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  int status = 0;
  if (GST_MESSAGE_TYPE (end) == GST_MESSAGE_ERROR) {
    gst_message_parse_error (end, &error, NULL);
    g_printerr ("%s\n", error->message);
    g_error_free (error);
    status = 1;
  }
  gst_message_unref (end);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (bus);
  gst_object_unref (sink);
  gst_object_unref (pipeline);
  return status;
}
