package dev.sprat.sample

import android.app.Application
import android.net.Uri
import android.os.Bundle
import androidx.activity.ComponentActivity
import androidx.activity.compose.rememberLauncherForActivityResult
import androidx.activity.compose.setContent
import androidx.activity.enableEdgeToEdge
import androidx.activity.result.contract.ActivityResultContracts
import androidx.compose.material3.MaterialTheme
import androidx.compose.runtime.getValue
import androidx.lifecycle.AndroidViewModel
import androidx.lifecycle.compose.collectAsStateWithLifecycle
import androidx.lifecycle.viewModelScope
import androidx.lifecycle.viewmodel.compose.viewModel
import dev.sprat.DeviceWatch
import dev.sprat.Model
import dev.sprat.WhenHidden
import dev.sprat.fromAsset
import dev.sprat.open
import java.io.FileNotFoundException

/** Keeps the conversation while the activity is made anew, as when the phone is turned. */
class ChatViewModel(private val app: Application) : AndroidViewModel(app) {
    // An answer that nobody sees is stopped; heat, battery and memory set the pace.
    private val watch = DeviceWatch(app)
    val chat = Chat(viewModelScope, INSTRUCTIONS) { watch.add(it, WhenHidden.Stop) }

    init {
        chat.use { Model.fromAsset(app, BUNDLED) }
    }

    /** Takes a file that the user chose; it is mapped where it lies and need not be copied. */
    fun choose(file: Uri) {
        chat.use {
            val descriptor = app.contentResolver.openFileDescriptor(file, "r") ?: throw FileNotFoundException("$file")
            descriptor.use { Model.open(it) }
        }
    }

    override fun onCleared() {
        watch.close()
        chat.close()
    }
}

class MainActivity : ComponentActivity() {
    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        enableEdgeToEdge()
        setContent {
            val model: ChatViewModel = viewModel()
            val state by model.chat.state.collectAsStateWithLifecycle()
            val picker = rememberLauncherForActivityResult(ActivityResultContracts.OpenDocument()) { file ->
                if (file != null) model.choose(file)
            }
            MaterialTheme {
                ChatScreen(
                    state = state,
                    onSend = model.chat::send,
                    onStop = model.chat::stop,
                    // GGUF files have no type of their own.
                    onChoose = { picker.launch(arrayOf("*/*")) },
                )
            }
        }
    }
}
