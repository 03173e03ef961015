package dev.sprat.sample

import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import dev.sprat.Model
import dev.sprat.SpratLibrary
import dev.sprat.fromAsset
import kotlinx.coroutines.runBlocking
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith

/** On a device or an emulator: the library loads, maps its model inside the package, and answers. Not yet run. */
@RunWith(AndroidJUnit4::class)
class SmokeTest {
    @Test
    fun the_bundled_model_sets_an_alarm() = runBlocking {
        assertEquals("0.1.0", SpratLibrary.version)
        val context = InstrumentationRegistry.getInstrumentation().targetContext
        Model.fromAsset(context, BUNDLED).use { model ->
            model.session { instructions = INSTRUCTIONS }.use { session ->
                val reply = session.respond("wake me up at quarter to seven tomorrow") { temperature = 0f }
                assertEquals("""{"tool":"set_alarm","time":"06:45","day":"tomorrow"}""", reply.text)
            }
        }
    }
}
