/// The model that the app brings along, and what it is told: its tools are what an app offers it.
public enum Bundled {
    public static let name = "sprat-tiny-q8_0"
    public static let instructions = """
        You are Sprat, a phone helper. Tools: set_alarm, cancel_alarm, list_alarms, set_timer, cancel_timer, check_timer, \
        set_reminder, send_text, call, play_music, media, flashlight, volume, brightness, setting, weather, calendar, \
        add_event, open_app, navigate, take_photo, add_to_list, show_list, make_note, clock, battery
        """
}
